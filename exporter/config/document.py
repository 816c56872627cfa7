"""Reads a YAML file: what it says, where it says it, and what a configuration may not hold."""

import os
import re
import select
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import yaml

from exporter.clock import Clock, SystemClock
from exporter.config.places import Location, Places, dotted, place_of
from exporter.errors import ConfigError, Problem

_MAX_BYTES = 10 << 20
_MAX_VALUES = 100_000
_MAX_DEPTH = 20
_PATIENCE = 1.0  # seconds for all that comes out of a pipe
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")

_YAMLS_OWN_WORDS = re.compile(r"""(?:[^'"]|'(?:<[a-z ]+>|[][{},:.!> -])')*""")
"""As much of one of YAML's messages as quotes no more than YAML's own signs."""


def read(path: Path, places: Places, problems: list[Problem], clock: Clock | None = None) -> Any:
    """Return a file's content; note the place of each node, and what is wrong with single ones.

    A pipe has a second, by the machine's clock unless another is given. Raises ConfigError where
    nothing can be made of the file; no message shows a value.
    """
    name = str(path)
    try:
        text = _content(path, clock or SystemClock()).decode("utf-8-sig")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return {}
        problems += _walk(node, (), places)
        document = loader.construct_document(node)
        return {} if document is None else document
    except OSError as error:
        raise _unusable(name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Without the cause, which holds the file's content; so do those below.
        raise _unusable(name, "expected UTF-8 text") from None
    except RecursionError as error:
        raise _unusable(name, "expected a few levels") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = "not YAML: control characters are not allowed"
        raise _unusable(f"{name}:{line}", message, *problems) from None
    except yaml.MarkedYAMLError as error:
        place = place_of(name, error.problem_mark) if error.problem_mark else name
        raise _unusable(place, f"not YAML: {_sentence(error)}", *problems) from None


def _unusable(place: str, message: str, *problems: Problem) -> ConfigError:
    return ConfigError([*problems, Problem(place, message)])


def _content(path: Path, clock: Clock) -> bytes:
    """Return what a file or a pipe holds.

    A pipe that gives nothing, or only a byte now and then, must not hold up everything.
    """
    with FileIO(path, opener=_opened) as file:
        mode = os.fstat(file.fileno()).st_mode
        is_regular = stat.S_ISREG(mode)
        content = file.read(_MAX_BYTES + 1) if is_regular else _piped(file, clock)
    if not content and stat.S_ISFIFO(mode):
        raise _unusable(str(path), "expected a file; nothing comes out of this pipe")
    if len(content) > _MAX_BYTES:
        raise _unusable(str(path), f"expected at most {_MAX_BYTES} bytes")
    return content


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _piped(file: FileIO, clock: Clock) -> bytes:
    end = clock.monotonic() + _PATIENCE
    content = b""
    while len(content) <= _MAX_BYTES:
        seconds = max(0.0, end - clock.monotonic())
        readable, _, _ = select.select([file], [], [], seconds)
        if not readable or not seconds:
            break
        piece = file.read(_MAX_BYTES)
        if not piece:
            break
        content += piece
    return content


def _sentence(error: yaml.MarkedYAMLError) -> str:
    """Return what YAML says about a fault, up to where it would quote the file."""
    context, problem = _unquoted(error.context), _unquoted(error.problem) or "syntax error"
    if context.startswith("while") and error.context_mark and error.problem_mark:
        line = error.context_mark.line
        if line != error.problem_mark.line:
            context += f" that begins in line {line + 1}"
    return f"{context}, {problem}" if context else problem


def _unquoted(text: str | None) -> str:
    text = re.sub(r"^found character '\\t'", "found a tab", text or "")
    text = re.sub(r"^found character '.*' that", "found a character that", text, flags=re.DOTALL)
    own = _YAMLS_OWN_WORDS.match(text)
    kept = own[0] if own else ""
    return kept if kept == text else kept.strip().removesuffix(", but found")


def _walk(node: yaml.Node, location: Location, places: Places) -> Iterator[Problem]:
    """Note the place of every node below one; yield what may not be there, and cut it out."""
    place = place_of(places.source, node.start_mark)
    places.note(dotted(location), place)
    if len(places) > _MAX_VALUES:
        raise _unusable(place, f"expected no more than {_MAX_VALUES} values; aliases multiply them")
    if len(location) > _MAX_DEPTH:
        raise _unusable(place, "expected a few levels, and no alias of what it stands in")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*location, index), places)
    elif isinstance(node, yaml.MappingNode):
        yield from _walk_keys(node, location, places)
    elif not _can_be_built(node):
        fault = "not a value of its YAML type; text that looks like one stands in quotes"
        yield Problem(place, f"{dotted(location)}: {fault}")
        node.tag = "tag:yaml.org,2002:str"


def _walk_keys(node: yaml.MappingNode, location: Location, places: Places) -> Iterator[Problem]:
    pairs = {}
    for key, value in node.value:
        place = place_of(places.source, key.start_mark)
        if key.tag not in _KEY_TAGS:
            yield Problem(place, "expected text as a key")
            continue
        inner = (*location, str(key.value))
        if key.value in pairs:
            yield Problem(place, f"duplicate key {dotted(inner)}")
        pairs[key.value] = key, value
        yield from _walk(value, inner, places)
        places.note(dotted(inner), place)
    node.value = list(pairs.values())


def _can_be_built(node: yaml.Node) -> bool:
    try:
        yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, AttributeError, yaml.constructor.ConstructorError):
        return False
    return True
