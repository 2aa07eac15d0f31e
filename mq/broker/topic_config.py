"""The topics of this broker: which exist, with how many queues, and how new ones come to be.

A topic is created by an administrator (code 17), by its first message (`autoCreateTopicEnable`), or, for retry and dead
letter topics, by its group. Every change is on disk before anybody is answered and is announced to the name servers at
once: a client learns queue counts only there. Kept in `config/topics.json`, RocketMQ's format.
Source: RocketMQ TopicConfigManager.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from mq.broker import system_names
from mq.broker.system_names import PERM_INHERIT, PERM_READ, PERM_READ_WRITE, PERM_WRITE
from mq.errors import InvalidMessage, ResponseError
from mq.message.message import RETRY_PREFIX, check_topic
from mq.remoting.bodies import DataVersion, TopicConfig, TopicConfigSerializeWrapper
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import CreateTopicRequestHeader
from mq.store import json_files

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: More topics than this are refused: each costs memory here and in every client's route.
MAX_TOPICS: Final = 50_000
MAX_QUEUES_PER_TOPIC: Final = 4096


class Topics:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.config.store_root.expanduser() / "config" / "topics.json"
        self._topics: dict[str, TopicConfig] = {}
        self.data_version = DataVersion()
        self._is_together = False

    def load(self) -> None:
        """Read the file, then add what a broker owns; entries of the file win over the built-in ones."""
        config = self._broker.config
        stored = json_files.load(self._path, TopicConfigSerializeWrapper.from_json)
        self.data_version = stored.data_version
        builtin = system_names.builtin_topics(
            config.cluster_name,
            config.broker_name,
            default_queue_count=config.default_topic_queue_count,
            auto_create=config.auto_create_topic,
            trace_topic=config.trace_topic_name if config.trace_topic else None,
        )
        # A start counts as a change, so that a name server which slept through a lost disk reads our table anew.
        topics = {topic.topic_name: topic for topic in builtin} | stored.topic_config_table
        self._change(topics, announce=False)

    def get(self, topic: str) -> TopicConfig | None:
        return self._topics.get(topic)

    def all(self) -> dict[str, TopicConfig]:
        return self._topics

    def is_system(self, topic: str) -> bool:
        config = self._broker.config
        return system_names.is_system_topic(topic) or topic in (config.cluster_name, config.broker_name)

    def create_for_send(self, topic: str, default_topic: str, wanted_queue_count: int) -> TopicConfig:
        """The topic of a message whose topic does not exist yet.

        Raises: ResponseError: 17 when it may not be created by a message, 16 for a name that only the broker gives,
            29 for an illegal one.
        """
        if topic.startswith(RETRY_PREFIX):
            return self.ensure(topic)
        if system_names.is_reserved(topic):
            raise ResponseError(ResponseCode.NO_PERMISSION, f"topic[{topic}] has a name that only the broker gives")
        default = self._topics.get(default_topic)
        may_inherit = default is not None and default.perm & PERM_INHERIT and self._broker.config.auto_create_topic
        if default is None or not may_inherit:
            raise ResponseError(
                ResponseCode.TOPIC_NOT_EXIST,
                f"topic[{topic}] not exist, and automatic creation is off or {default_topic} cannot be inherited: "
                "create it with updateTopic",
            )
        queue_count = max(1, min(wanted_queue_count, default.write_queue_nums))
        return self.put(
            TopicConfig(
                topic_name=topic,
                read_queue_nums=queue_count,
                write_queue_nums=queue_count,
                perm=default.perm & ~PERM_INHERIT,
                topic_filter_type=default.topic_filter_type,
            )
        )

    def ensure(self, topic: str, queue_count: int = 1, perm: int = PERM_READ_WRITE) -> TopicConfig:
        """An existing topic, or a new one: for retry, dead letter and other topics the broker needs itself."""
        existing = self._topics.get(topic)
        if existing is not None:
            return existing
        return self.put(
            TopicConfig(topic_name=topic, read_queue_nums=queue_count, write_queue_nums=queue_count, perm=perm)
        )

    def put(self, topic: TopicConfig) -> TopicConfig:
        """Create or replace a topic; an equal one changes nothing.

        Raises: ResponseError: 29 for a name, count or permission that is not allowed; 1 when there are too many topics.
        """
        self.put_all([topic])
        return self._topics[topic.topic_name]

    def put_all(self, topics: Iterable[TopicConfig]) -> None:
        """Create or replace all of them, or none. Raises: ResponseError: as `put`."""
        changed = {topic.topic_name: topic for topic in topics if self._topics.get(topic.topic_name) != topic}
        if not changed:
            return
        for topic in changed.values():
            self._check(topic)
        after = self._topics | changed
        if len(after) > max(MAX_TOPICS, len(self._topics)):
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"there would be over {MAX_TOPICS} topics: delete some first"
            )
        self._change(after)

    def delete(self, topic: str) -> None:
        if topic in self._topics:
            self._change({name: config for name, config in self._topics.items() if name != topic})

    def announce_anew(self) -> None:
        """Something about all topics has changed that the table does not show, such as `brokerPermission`."""
        self._change(self._topics)

    def random_queue_id(self, topic: TopicConfig) -> int:
        return random.randrange(topic.write_queue_nums) if topic.write_queue_nums > 1 else 0

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.UPDATE_AND_CREATE_TOPIC: self._update_and_create}

    async def _update_and_create(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(CreateTopicRequestHeader)
        if self.is_system(header.topic):
            raise ResponseError(
                ResponseCode.INVALID_PARAMETER, f"The topic[{header.topic}] is conflict with system topic."
            )
        existing = self._topics.get(header.topic)
        self.put(
            TopicConfig(
                topic_name=header.topic,
                read_queue_nums=header.read_queue_nums,
                write_queue_nums=header.write_queue_nums,
                perm=header.perm,
                topic_filter_type=header.topic_filter_type,
                topic_sys_flag=header.topic_sys_flag or 0,
                order=header.order,
                attributes=changed_attributes(
                    existing.attributes if existing else {}, (header.attributes or "").split(",")
                ),
            )
        )
        # A route query right after the answer must find the topic, so the answer waits for the name servers.
        await self._broker.name_servers.register_now()
        return command.respond()

    def _check(self, topic: TopicConfig) -> None:
        try:
            check_topic(topic.topic_name)
        except InvalidMessage as error:
            raise ResponseError(ResponseCode.INVALID_PARAMETER, str(error)) from error
        for count in (topic.read_queue_nums, topic.write_queue_nums):
            if not 0 <= count <= MAX_QUEUES_PER_TOPIC:
                raise ResponseError(
                    ResponseCode.INVALID_PARAMETER,
                    f"topic[{topic.topic_name}] cannot have {count} queues: 0 to {MAX_QUEUES_PER_TOPIC}",
                )
        if topic.perm & ~(PERM_READ | PERM_WRITE | PERM_INHERIT | 8):
            raise ResponseError(ResponseCode.INVALID_PARAMETER, f"perm {topic.perm} is no sum of 1, 2, 4 and 8")

    def _change(self, topics: dict[str, TopicConfig], *, announce: bool = True) -> None:
        """Take over a changed table, once it is on disk. Raises: OSError: nothing has changed then."""
        # Name servers compare versions: a change that leaves the version alone would not reach any client.
        version = self.data_version.next(self._broker.clock.now_ms())
        if not self._is_together:
            self._save(topics, version)
        self._topics, self.data_version = topics, version
        if announce:
            self._broker.name_servers.changed()

    def _save(self, topics: dict[str, TopicConfig], version: DataVersion) -> None:
        json_files.save(self._path, TopicConfigSerializeWrapper(version, topics).to_dict())

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write the file once for all changes made inside. Raises: OSError: none of them has been made then."""
        before = self._topics, self.data_version
        self._is_together = True
        try:
            yield
            if self.data_version is not before[-1]:
                self._save(self._topics, self.data_version)
        except BaseException:
            self._topics, self.data_version = before
            raise
        finally:
            self._is_together = False


def changed_attributes(current: dict[str, str], changes: Iterable[str]) -> dict[str, str]:
    """Attributes after changes such as `+message.type=FIFO` and `-cleanup.policy`.

    Raises: ResponseError: 1 for anything else.
    """
    attributes = dict(current)
    for word in filter(None, changes):
        name, _, value = word[1:].partition("=")
        if word[0] not in "+-" or name not in _ATTRIBUTES:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"{word!r} is no known topic attribute: {_ATTRIBUTES}")
        if word[0] == "-":
            attributes.pop(name, None)
        else:
            attributes[name] = value
    return attributes


_ATTRIBUTES: Final = ("queue.type", "cleanup.policy", "message.type", "reserve.time")
