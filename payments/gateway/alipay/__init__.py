"""Alipay's open platform: forms signed with RSA2 out, signed JSON back, callbacks as signed forms."""
