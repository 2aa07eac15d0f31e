"""paysim: the payment company, as a process of its own.

It plays the third party that a shop cannot control: a cashier page, a gateway with signed answers, and signed callbacks
that come late, twice or not at all. It speaks two dialects over one book, that of Alipay's open platform (`alipay/`)
and that of WeChat Pay APIv3 (`wechat/`), shares neither code nor database with the shop, and moves no real money. What
it is not: a certified copy; only the calls this shop makes exist.
"""
