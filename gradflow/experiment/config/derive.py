"""Sections whose keys are declared elsewhere: models made from registered classes' options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import Field, create_model, model_validator

from gradflow.core.registry import Option, options
from gradflow.errors import OptionError
from gradflow.experiment.config.fields import Section
from gradflow.experiment.config.text.mistakes import Mistake

__all__ = ["Derived", "Origin", "derived"]

D = TypeVar("D", bound="Derived")


class Origin:
    """Where a model was made: a function at the top of a module, and its arguments."""

    def __init__(self, make: Callable[..., type[Derived]], *given: Any) -> None:
        self.make, self.given = make, given

    def blank(self) -> Derived:
        """Return an instance without any value."""
        model = self.make(*self.given)
        return model.__new__(model)

    def __reduce__(self) -> tuple[Any, ...]:
        return Origin, (self.make, *self.given)


class Derived(Section):
    """A section made from a registry; crosses process boundaries by what it was made from."""

    origin: ClassVar[Origin | None] = None
    owner: ClassVar[type | None] = None
    """The class whose options these are; it is built to check them together."""

    def __reduce__(self) -> Any:
        if self.origin is None:
            return super().__reduce__()
        return self.origin.blank, (), self.__getstate__()

    @model_validator(mode="after")
    def _together(self) -> Any:
        if self.owner is not None:
            try:
                self.build()
            except OptionError as error:
                raise Mistake(error.problem, error.expected, error.fix, error.path) from None
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The values of the owner's options."""
        return {name: getattr(self, name) for name in options(self.owner)} if self.owner else {}

    def build(self) -> Any:
        """Make an instance of the owner."""
        assert self.owner is not None
        return self.owner(**self.options)


def derived(
    base: type[D],
    name: str,
    origin: Origin,
    owner: type | None = None,
    extra: Mapping[str, Any] | None = None,
) -> type[D]:
    """Make a model: the base's fields, others given as pydantic wants them, the owner's options."""
    own = {n: _field(o) for n, o in options(owner).items()} if owner is not None else {}
    model = create_model(name, __base__=base, __module__=__name__, **{**(extra or {}), **own})
    model.origin, model.owner = origin, owner
    model.__doc__ = owner.__doc__ if owner is not None else base.__doc__
    return model


def _field(option: Option) -> tuple[Any, Any]:
    """A field of pydantic: its type and what is known of it."""
    default = ... if option.required else option.default
    if get_origin(option.type) is tuple:
        part = get_args(option.type)[0]
        bounds: list[Any] = [Ge(option.least)] if option.least is not None else []
        bounds += [Le(option.most)] if option.most is not None else []
        each = Annotated[(part, *bounds)] if bounds else part
        return tuple[each, ...], Field(  # type: ignore[valid-type]
            default, min_length=1, max_length=100, description=option.summary or None
        )
    return option.type, Field(
        default, ge=option.least, le=option.most, description=option.summary or None
    )
