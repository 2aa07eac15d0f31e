"""The payment company as the shop sees it: signed calls out, signed callbacks in, in Alipay's dialect.

This is the shop's own reading of the dialect; it shares no code with the simulator, so each checks the other.
"""
