from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from payments.gateway import rsa as rsa2
from payments.gateway.alipay import signing
from paysim.alipay import signing as theirs

FIELDS = {"b": "2", "a": "1", "empty": "", "subject": "Retro clock & 钟", "sign_type": "RSA2", "sign": "x"}


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TestTextToSign:
    def test_is_sorted_and_leaves_out_signature_and_empty_fields(self):
        assert signing.text_to_sign(FIELDS).decode() == "a=1&b=2&subject=Retro clock & 钟"

    def test_is_read_alike_by_both_sides(self):
        assert signing.text_to_sign(FIELDS) == theirs.signed_bytes(FIELDS)


class TestSignature:
    def test_of_ours_is_believed_by_them_and_the_other_way_round(self, key):
        assert theirs.is_signed_by(key.public_key(), signing.signed(key, FIELDS))
        fields = theirs.sign_fields(key, FIELDS)
        assert rsa2.is_genuine(key.public_key(), fields["sign"], signing.text_to_sign(fields))

    @pytest.mark.parametrize("junk", ["", "=", "AAAA", "a b", "é", "A" * 10_000])
    def test_of_junk_is_not_genuine(self, key, junk):
        assert not rsa2.is_genuine(key.public_key(), junk, b"a=1")
