"""Only public addresses are connected to, and exactly those that were looked at."""

import asyncio

import pytest
from aiohttp.abc import AbstractResolver

from portal.addresses import (
    PrivateAddress,
    PublicAddresses,
    refuse_private,
    refuse_private_literal,
)

PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "::ffff:192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "fd00::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2002:a00:1::",
    "2001:0:a00:1::1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2001:db8::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "5f00::1",
]
PUBLIC = ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_refused(address):
    with pytest.raises(PrivateAddress, match=r"name\.test has the address .* not a public one"):
        refuse_private("name.test", address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_passes(address):
    refuse_private("name.test", address)


def test_address_for_a_name_is_looked_at_too():
    refuse_private_literal("ghcr.io")
    refuse_private_literal("8.8.8.8")
    with pytest.raises(PrivateAddress):
        refuse_private_literal("10.0.0.1")


class Answers(AbstractResolver):
    def __init__(self, *addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=0):
        return [
            {"hostname": host, "host": a, "port": port, "family": 0, "proto": 0, "flags": 0}
            for a in self.addresses
        ]

    async def close(self):
        pass


def test_what_was_looked_at_is_what_is_given():
    found = asyncio.run(PublicAddresses(Answers("8.8.8.8", "8.8.4.4")).resolve("name.test"))
    assert [each["host"] for each in found] == ["8.8.8.8", "8.8.4.4"]


def test_one_private_address_spoils_a_name():
    with pytest.raises(PrivateAddress):
        asyncio.run(PublicAddresses(Answers("8.8.8.8", "10.0.0.1")).resolve("name.test"))
