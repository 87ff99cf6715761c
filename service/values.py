"""Values whose making is paid for at every change.

A frozen dataclass is made by ``object.__setattr__``, a call for each field: six times what plain assignment takes, and
some twenty of them are made on the way of one change. So these are frozen for the type checker, which runs before
anything is released, and plain at run time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[Class]) -> type[Class]:
    """``dataclass(frozen=True, slots=True)``, where assigning to a field is refused by the type checker alone."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
