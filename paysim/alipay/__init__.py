"""Alipay's dialect: forms signed with RSA2, answers as signed JSON, callbacks answered by the word `success`."""
