"""Optimization profiles of a TensorRT engine: which shapes each takes, and which one a batch runs with. Pure logic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tis.errors import internal, invalid

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Shapes that a profile takes for one input: from `least` to `most` in every dimension, and `best` is what it is for."""

    least: Shape
    best: Shape
    most: Shape

    def takes(self, shape: Shape) -> bool:
        """Whether a shape lies within."""
        if len(shape) != len(self.least):
            return False
        return all(low <= dim <= high for low, dim, high in zip(self.least, shape, self.most, strict=True))

    def distance(self, shape: Shape) -> int:
        """How far a shape is from the best one."""
        return sum(abs(dim - best) for dim, best in zip(shape, self.best, strict=True))


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile by its number in the engine."""

    number: int
    ranges: Mapping[str, Range]

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether it takes these shapes of all inputs."""
        return all(each.takes(shapes[name]) for name, each in self.ranges.items() if name in shapes)

    def distance(self, shapes: Mapping[str, Shape]) -> int:
        """How far shapes are from the ones that it is for."""
        return sum(each.distance(shapes[name]) for name, each in self.ranges.items() if name in shapes)


def chosen(profiles: Sequence[Profile], shapes: Mapping[str, Shape], name: str) -> Profile:
    """The profile that takes the shapes and is nearest to them, as in Triton.

    Args:
        profiles: those of the instance, at least one.
        shapes: of every input, with the dimension of the batch.
        name: the model's; for the error.

    Raises:
        TisError: INVALID_ARG where none takes them. Triton goes on with the first one, which then fails.
    """
    fitting = [profile for profile in profiles if profile.takes(shapes)]
    if not fitting:
        asked = ", ".join(f"'{each}' {_spell(shape)}" for each, shape in shapes.items())
        raise invalid(
            f"failed to find any Optimization Profile among {[profile.number for profile in profiles]} of model '{name}' to "
            f"support the requested dimensions: {asked}; they take {'; or '.join(map(_told, profiles))}"
        )
    return min(fitting, key=lambda profile: profile.distance(shapes))


def wanted(listed: Sequence[str], count: int, name: str) -> tuple[int, ...]:
    """The numbers of profiles that an instance group lists; the first one where it lists none.

    Raises:
        TisError: INVALID_ARG for what is no number, INTERNAL, in Triton's words, for one that the engine does not have.
    """
    numbers = []
    for text in listed:
        if not (text.isascii() and text.isdigit()):
            raise invalid(f"unable to parse '{text}': a profile of model '{name}' must be a number")
        if int(text) >= count:
            raise internal(
                f"unable to autofill for '{name}', configuration specified invalid profile {text} . Number of profiles "
                f"supported by TensorRT engine: {count}"
            )
        numbers.append(int(text))
    return tuple(dict.fromkeys(numbers)) or (0,)


def largest_batch(profiles: Sequence[Profile]) -> int:
    """The largest batch that any of the profiles takes for all inputs; 0 for an engine without inputs."""
    return max(min((each.most[0] for each in profile.ranges.values() if each.most), default=0) for profile in profiles)


def _told(profile: Profile) -> str:
    return ", ".join(f"'{name}' {_spell(each.least)} to {_spell(each.most)}" for name, each in profile.ranges.items())


def _spell(shape: Shape) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
