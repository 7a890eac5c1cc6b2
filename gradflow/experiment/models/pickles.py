"""A machine for pickles that runs nothing.

A pickle is a program for a small stack machine. Python's own machine imports what the program names
and calls it; this one never does. A name becomes a dead object that stands for it, a call becomes a
dead object that remembers its arguments, and only what the caller has a maker for is made. Opcodes
are decoded by `pickletools`, which reads no more than the file has.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, TypeAlias

__all__ = ["Dead", "Maker", "unpickle", "walk"]

MAX_STEPS = 2_000_000
"""The most opcodes of one pickle: some ten thousand tensors, and a few seconds."""

MAX_DEPTH = 64
"""How far down tensors are looked for."""

Maker: TypeAlias = Callable[..., Any]


@dataclass(eq=False, repr=False)
class Dead:
    """What a pickle names or would make, and what nothing has made.

    Parameters
    ----------
    name : str
        Module and name, joined by a dot.
    args : object
        What it would be called with.
    state : object
        What would be set on it afterwards.
    """

    name: str
    args: Any = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


MARK = object()

PLAIN = (str, int, float, bool, bytes, type(None))
"""Keys of these types are kept; hashing others may never end."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
FRESH: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict}
COUNTED = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def unpickle(
    file: IO[bytes], makers: Mapping[str, Maker], persistent: Callable[[Any], Any] | None = None
) -> Any:
    """Return what one pickle describes.

    Parameters
    ----------
    file : file
        Where the pickle begins; left where it ends.
    makers : mapping of str to callable
        What is made, by module and name.
    persistent : callable
        Turns a persistent id into an object.

    Raises
    ------
    ValueError
        If it is not a sound pickle, or too long a one.
    """
    machine = _Machine(makers, persistent)
    try:
        with warnings.catch_warnings():  # of an escape in a text that Python's own texts have not
            warnings.simplefilter("ignore", DeprecationWarning)
            for step, (opcode, arg, _) in enumerate(pickletools.genops(file)):
                if step > MAX_STEPS:
                    raise ValueError(f"more than {MAX_STEPS:,} steps")
                if opcode.name != "STOP":  # the last there is
                    machine.actions[opcode.name](arg)
            return machine.stack.pop()
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__} in the program") from error


class _Machine:
    def __init__(
        self, makers: Mapping[str, Maker], persistent: Callable[[Any], Any] | None
    ) -> None:
        self.makers, self.persistent = makers, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.actions = {opcode.name: self._action(opcode) for opcode in pickletools.opcodes}

    def _action(self, opcode: pickletools.OpcodeInfo) -> Callable[[Any], None]:
        """What one opcode does; those without a method push what they say, or are refused."""
        name = opcode.name
        if name in CONSTANTS:
            return partial(self._fresh, lambda: CONSTANTS[name])
        if name in FRESH:
            return partial(self._fresh, FRESH[name])
        if name in COUNTED:
            return partial(self._counted, COUNTED[name])
        literal = opcode.arg is not None and not opcode.stack_before
        literal = literal and not name.startswith("EXT")
        own: Callable[[Any], None] | None = getattr(self, f"_{name.lower()}", None)
        return own or (self.stack.append if literal else self._refuse)

    def _proto(self, _: Any) -> None:
        """Nothing: how the rest is written makes no difference."""

    _frame = _readonly_buffer = _proto

    def _fresh(self, make: Callable[[], Any], _: Any) -> None:
        self.stack.append(make())

    def _refuse(self, _: Any) -> None:
        raise LookupError

    def _top(self, count: int) -> list[Any]:
        """The uppermost objects, which have to be there."""
        top = self.stack[-count:]
        if len(top) < count or any(item is MARK for item in top):
            raise IndexError
        return top

    def _marked(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is MARK:
                above = self.stack[i + 1 :]
                del self.stack[i:]
                return above
        raise IndexError

    def _mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def _counted(self, count: int, _: Any) -> None:
        self.stack[-count:] = [tuple(self._top(count))]

    def _get(self, arg: Any) -> None:
        self.stack.append(self.memo[arg])

    _binget = _long_binget = _get

    def _put(self, arg: Any) -> None:
        self.memo[arg] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _dup(self, _: Any) -> None:
        self.stack.append(self._top(1)[0])

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._marked())

    _frozenset = _list

    def _dict(self, _: Any) -> None:
        pairs = self._marked()
        self.stack.append({})
        self._set(pairs)

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    _additems = _appends

    def _extend(self, values: list[Any]) -> None:
        (target,) = self._top(1)
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Dead):
            target.items.update(enumerate(values, len(target.items)))
        else:
            raise TypeError

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _: Any) -> None:
        self._set(self._marked())

    def _set(self, pairs: list[Any]) -> None:
        (target,) = self._top(1)
        items = target.items if isinstance(target, Dead) else target
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            items[key if isinstance(key, PLAIN) else Dead("key")] = value

    def _global(self, arg: str) -> None:
        self.stack.append(Dead(arg.replace(" ", ".", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError
        self.stack.append(Dead(f"{module}.{name}"))

    def _call(self, what: Any, args: Any) -> None:
        if not (isinstance(what, Dead) and isinstance(args, tuple)):
            raise TypeError
        make = self.makers.get(what.name)
        self.stack.append(make(*args) if make else Dead(what.name, args))

    def _reduce(self, _: Any) -> None:
        args, what = self.stack.pop(), self.stack.pop()
        self._call(what, args)

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self._reduce(None)

    def _inst(self, arg: str) -> None:
        self._call(Dead(arg.replace(" ", ".", 1)), tuple(self._marked()))

    def _obj(self, _: Any) -> None:
        what, *args = self._marked()
        self._call(what, tuple(args))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        (target,) = self._top(1)
        if isinstance(target, Dead):
            target.state = state
        # What else may be built upon is an ordered mapping, whose attributes say nothing here.

    def _binpersid(self, _: Any) -> None:
        if self.persistent is None:
            raise ValueError("it refers to something outside itself")
        self.stack.append(self.persistent(self.stack.pop()))

    def _persid(self, arg: str) -> None:
        self.stack.append(arg)
        self._binpersid(None)


def walk(root: Any, leaf: type) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each object of type `leaf`, and each text, under the keys that lead to it.

    The parameters and the modules of a pickled torch.nn.Module stand under their own names.
    """
    seen: set[int] = set()
    todo: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while todo:
        keys, value = todo.pop()
        if isinstance(value, leaf | str):
            yield keys, value
            continue
        items = _items(value)
        if not items or id(value) in seen or len(keys) > MAX_DEPTH:
            continue
        seen.add(id(value))
        for key, inner in reversed(list(items.items())):
            inside = keys if key in MODULE else (*keys, str(key))
            if isinstance(key, str | int) and not isinstance(inner, int | float | bytes):
                todo.append((inside, inner))


MODULE = ("_parameters", "_buffers", "_modules")


def _items(value: Any) -> dict[Any, Any]:
    if isinstance(value, Dead):
        state = value.state
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict | None):
            state = {**(state[0] or {}), **(state[1] if isinstance(state[1], dict) else {})}
        return {**(state if isinstance(state, dict) else {}), **value.items}
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}
