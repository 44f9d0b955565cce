"""How the text after a flag is read, with Triton's words for what cannot be read.

Numbers are whole or wrong: Triton takes `12x` for 12, which hides a typing error, and here is an error.
"""

import re
from collections.abc import Callable

import msgspec

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

HOST_POLICY_SETTINGS = ("numa-node", "cpu-cores")

_TRUE = frozenset({"true", "on", "1"})
_FALSE = frozenset({"false", "off", "0"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})(e[+-]?[0-9]{1,3})?", re.ASCII | re.IGNORECASE)


class ValueRefusedError(Exception):
    """The text after a flag is not a value for it; the message says why."""


class Reader(msgspec.Struct, frozen=True):
    """Turns text into a value, or raises `ValueRefusedError`."""

    #: What the usage shows between angle brackets.
    shape: str
    #: Takes the flag's name and the text.
    read: Callable[[str, str], object]


def boolean(_flag: str, value: str) -> bool:
    """True, on, 1, false, off or 0, in any case."""
    folded = value.lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise ValueRefusedError(f"invalid value for bool option: {value}")


def integer(value: str, low: int, high: int) -> int:
    """A whole number within bounds, both included."""
    if not _INTEGER.fullmatch(value):
        raise ValueRefusedError(f"Invalid option value. Got {value}")
    number = int(value)
    if not low <= number <= high:
        raise ValueRefusedError(f"Provided option value is out of bound. Got {value}")
    return number


def between(low: int, high: int) -> Reader:
    """A reader of whole numbers within bounds, both included."""

    def read(_flag: str, value: str) -> int:
        return integer(value, low, high)

    return Reader("integer", read)


def number_or_switch(_flag: str, value: str) -> int:
    """A level from 0 up, or true for 1 and false for 0."""
    folded = value.lower()
    if folded in ("true", "false"):
        return int(folded == "true")
    return integer(value, 0, INT32_MAX)


def number(_flag: str, value: str) -> float:
    """A decimal number."""
    if not _NUMBER.fullmatch(value):
        raise ValueRefusedError(f"Invalid option value. Got {value}")
    return float(value)


def at_least(low: int) -> Reader:
    """A reader of whole numbers that takes smaller ones for `low`, as Triton does with those that ask for less than none."""

    def read(_flag: str, value: str) -> int:
        return max(low, integer(value, -INT32_MAX - 1, INT32_MAX))

    return Reader("integer", read)


def config_name(flag: str, value: str) -> str:
    """The name of a config file, without its folder and its `.pbtxt`."""
    if not value:
        raise ValueRefusedError(f"Error: empty argument for --{flag}")
    return value


def text(_flag: str, value: str) -> str:
    """Any text."""
    return value


def device_amount(_flag: str, value: str) -> int:
    """`<device>:<amount>`; what matters here is the amount."""
    device, colon, amount = value.partition(":")
    if not colon:
        raise ValueRefusedError(f"Expected <device id>:<byte size>. Got {value}")
    integer(device, 0, INT32_MAX)
    return integer(amount, 0, INT64_MAX)


def backend_setting(flag: str, value: str) -> tuple[str, str, str]:
    """`<backend>,<key>=<value>`, or `<key>=<value>` for every backend."""
    backend, comma, setting = value.partition(",")
    if not comma:
        backend, setting = "", value
    elif not backend:
        raise ValueRefusedError(
            f"No backend specified. --{flag} option format is <backend name>,<setting>=<value> or <setting>=<value>."
            f" Got {value}"
        )
    key, equals, content = setting.partition("=")
    if not (key and equals and content):
        raise ValueRefusedError(f"--{flag} option format is '<backend name>,<setting>=<value>'. Got {value}")
    return backend, key, content


def cache_setting(flag: str, value: str) -> tuple[str, str, str]:
    """`<cache>,<setting>=<value>`."""
    cache, comma, setting = value.partition(",")
    if comma and not cache:
        raise ValueRefusedError(
            f"No cache specified. --{flag} option format is <cache name>,<setting>=<value>. Got {value}"
        )
    key, equals, content = setting.partition("=")
    if not (cache and key and equals and content):
        raise ValueRefusedError(f"--{flag} option format is '<cache name>,<setting>=<value>'. Got {value}")
    return cache, key, content


def rate_limit_resource(flag: str, value: str) -> tuple[str, int, int]:
    """`<name>:<count>`, or `<name>:<count>:<device>`; without a device it is -1."""
    name, *numbers = value.split(":")
    if not name or not 1 <= len(numbers) <= 2:
        raise ValueRefusedError(
            f"--{flag} option format is '<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got {value}"
        )
    count = integer(numbers[0], 0, INT32_MAX)
    return name, count, integer(numbers[1], 0, INT32_MAX) if len(numbers) > 1 else -1


def host_policy(flag: str, value: str) -> tuple[str, str, str]:
    """`<policy>,<setting>=<value>`. What the value says is read when an instance needs it, as in Triton."""
    policy, comma, rest = value.partition(",")
    setting, equals, content = rest.partition("=")
    if not (policy and comma and setting and equals and content):
        raise ValueRefusedError(f"--{flag} option format is '<policy name>,<setting>=<value>'. Got {value}")
    if setting not in HOST_POLICY_SETTINGS:
        known = ", ".join(f"'{each}'" for each in HOST_POLICY_SETTINGS)
        raise ValueRefusedError(
            f"Unsupported host policy setting '{setting}' is specified, supported settings are {known}"
        )
    return policy, setting, content


def gpu_limit(_flag: str, value: str) -> tuple[int, float]:
    """`<gpu>:<fraction>`."""
    gpu, colon, fraction = value.partition(":")
    if not colon or ":" in fraction:
        raise ValueRefusedError(
            "Cannot parse pair option due to incorrect number of inputs."
            f"--<pair option> argument requires format <first>:<second>. Found: {value}"
        )
    index, limit = integer(gpu, -INT32_MAX - 1, INT32_MAX), number("", fraction)
    if index < 0:
        raise ValueRefusedError(f"expects device ID >= 0, got {index}")
    if not 0.0 <= limit <= 1.0:
        raise ValueRefusedError(f"expects limit fraction to be in range [0.0, 1.0], got {limit:f}")
    return index, limit


def one_of(*values: str, fold: bool = True) -> Reader:
    """A reader of one word among several; where `fold`, in any case, and the answer is in lower case."""

    def read(flag: str, value: str) -> str:
        word = value.lower() if fold else value
        if word not in values:
            raise ValueRefusedError(f"invalid argument for --{flag}: expected one of {', '.join(values)}. Got {value}")
        return word

    return Reader("string", read)


def pattern(_flag: str, value: str) -> str:
    """A regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueRefusedError(f"{value} is no regular expression: {error}") from None
    return value


def spoken(value: object) -> str:
    """A value that was read, as an operator would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value != "" else '""'


BOOLEAN = Reader("boolean", boolean)
INTEGER = between(-INT32_MAX - 1, INT32_MAX)
COUNT = between(0, INT32_MAX)
BYTES = between(0, INT64_MAX)
PORT = between(0, 65535)
SECONDS = at_least(0)
LEVEL = Reader("integer", number_or_switch)
NUMBER = Reader("float", number)
TEXT = Reader("string", text)
CONFIG_NAME = Reader("string", config_name)
PATTERN = Reader("string", pattern)
DEVICE_BYTES = Reader("<integer>:<integer>", device_amount)
CACHE_SETTING = Reader("<string>,<string>=<string>", cache_setting)
RATE_LIMIT_RESOURCE = Reader("<string>:<integer>:<integer>", rate_limit_resource)
HOST_POLICY = Reader("<string>,<string>=<string>", host_policy)
GPU_LIMIT = Reader("<integer>:<float>", gpu_limit)
BACKEND_SETTING = Reader("<string>,<string>=<string>", backend_setting)
