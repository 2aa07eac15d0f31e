"""Name servers: their settings, their notes, and whom they send producers to. Source: tools/command/namesrv."""

from __future__ import annotations

from typing import Final

from mq.admin.command import Family, Flag, Session
from mq.admin.report import Fields, Report, Table, Text

COMMANDS: Final = Family("name servers")

_BROKER_NAME: Final = Flag("b", "brokerName", "name of the broker", required=True)
_NAMESPACE: Final = Flag("s", "namespace", "such as ORDER_TOPIC_CONFIG", required=True)
_KEY: Final = Flag("k", "key", "its name", required=True)


@COMMANDS.add("getNamesrvConfig", "the settings of every name server")
async def get_namesrv_config(session: Session) -> Report:
    return [Fields(settings, address) for address, settings in (await session.admin.name_servers.config()).items()]


@COMMANDS.add(
    "updateNamesrvConfig", "change a setting of every name server", _KEY, Flag("v", "value", "new value", required=True)
)
async def update_namesrv_config(session: Session) -> Report:
    key, value = session["key"], session["value"]
    await session.admin.name_servers.update_config(key, value)
    return Text(f"update name server config success! {key} : {value}", {key: value})


@COMMANDS.add("updateKvConfig", "write a note", _NAMESPACE, _KEY, Flag("v", "value", "what is noted", required=True))
async def update_kv_config(session: Session) -> Report:
    await session.admin.name_servers.put_kv(session["namespace"], session["key"], session["value"])
    return Text("create or update kv config to namespace success.", {session["key"]: session["value"]})


@COMMANDS.add("deleteKvConfig", "delete a note", _NAMESPACE, _KEY)
async def delete_kv_config(session: Session) -> Report:
    await session.admin.name_servers.delete_kv(session["namespace"], session["key"])
    return Text("delete kv config from namespace success.", {"deleted": session["key"]})


@COMMANDS.add("wipeWritePerm", "send no more producers to a broker", _BROKER_NAME)
async def wipe_write_perm(session: Session) -> Report:
    return _changed(await session.admin.name_servers.wipe_write_perm(session["brokerName"]))


@COMMANDS.add("addWritePerm", "send producers to a broker again", _BROKER_NAME)
async def add_write_perm(session: Session) -> Report:
    return _changed(await session.admin.name_servers.add_write_perm(session["brokerName"]))


def _changed(counts: dict[str, int]) -> Report:
    return Table(("#Name Server", "#Topics"), list(counts.items()))
