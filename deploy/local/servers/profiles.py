"""How large the servers are: a demonstration, or one stack among many on a test machine."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Profile:
    name: str
    mysql_buffer_pool: str
    mysql_redo: str
    mysql_performance_schema: str
    mysql_binlog_keep_seconds: int
    redis_maxmemory: str
    redis_debug_command: str
    kafka_heap: str
    # A killed broker is taken back only when its former session has run out.
    kafka_session_timeout_ms: int
    kafka_segment_bytes: int
    kafka_partition_bytes_max: int
    registry_heap: str


MEBIBYTE = 1024 * 1024
HOUR_SECONDS = 3600

PROFILES = {
    "run": Profile(
        name="run", mysql_buffer_pool="512M", mysql_redo="512M", mysql_performance_schema="ON",
        mysql_binlog_keep_seconds=6 * HOUR_SECONDS, redis_maxmemory="1gb",
        redis_debug_command="no", kafka_heap="512m",
        kafka_session_timeout_ms=9000, kafka_segment_bytes=256 * MEBIBYTE,
        kafka_partition_bytes_max=2048 * MEBIBYTE, registry_heap="256m"),
    "test": Profile(
        name="test", mysql_buffer_pool="192M", mysql_redo="128M", mysql_performance_schema="OFF",
        mysql_binlog_keep_seconds=HOUR_SECONDS, redis_maxmemory="512mb",
        # Fault tests stall the server with DEBUG SLEEP.
        redis_debug_command="local", kafka_heap="384m",
        kafka_session_timeout_ms=4000, kafka_segment_bytes=64 * MEBIBYTE,
        kafka_partition_bytes_max=1024 * MEBIBYTE, registry_heap="192m"),
}
# For tests of what MySQL was asked.
PROFILES["counted"] = replace(
    PROFILES["test"], name="counted", mysql_performance_schema="ON")
