"""Sets of answers with the place of each: read from files of rows, text files and folders."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, Place, prompt_of
from sarm_core.text.tables import is_saved
from sarm_core.text.text_files import is_text_file, read_text, texts_in

__all__ = ["Answers", "read_answers", "read_labelled"]


@dataclass(frozen=True)
class Answers:
    """Conversations with the file and row each came from."""

    conversations: tuple[Conversation, ...]
    places: tuple[Place, ...]

    @classmethod
    def of(cls, found: Sequence[tuple[Conversation, Place]]) -> Answers:
        """From (conversation, place)."""
        return cls(tuple(c for c, _ in found), tuple(place for _, place in found))

    def __len__(self) -> int:
        return len(self.conversations)

    def select(self, numbers: Iterable[int]) -> Answers:
        """The answers with these numbers."""
        numbers = list(numbers)
        return Answers(tuple(self.conversations[i] for i in numbers), tuple(self.places[i] for i in numbers))

    @property
    def prompts(self) -> list[Hashable]:
        """What precedes each answer: equal for equal prompts, the unit of the bootstrap.

        An answer that nothing precedes is a unit of its own: texts are not all answers to one prompt.
        """
        return [
            prompt_of(conversation)[0] or place
            for conversation, place in zip(self.conversations, self.places, strict=True)
        ]


def read_answers(paths: str | Path | Iterable[str | Path], reader: Reader | None = None) -> Answers:
    """Every answer of what is given, each once: of a file of rows all answers of each row, a .txt or .md file as one,
    and of a folder each such file (see `text_files`), unless it is one that `datasets` saved.

    Raises RowError naming file and row, SarmError for a folder without texts.
    """
    reader = reader or Reader()
    found: dict[Conversation, Place] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        is_folder = Path(path).is_dir() and not is_saved(path)
        if is_folder or is_text_file(path):
            for text in texts_in(path) if is_folder else [path]:
                found.setdefault(read_text(text), (str(text), 1))
            continue
        for number, row in reader.rows(path):
            try:
                for answer in reader.answers(row).answers:
                    found.setdefault(answer.conversation, (str(path), number))
            except RowError as error:
                raise error.at(path, number) from None
    return Answers(tuple(found), tuple(found.values()))


def read_labelled(path: str | Path, reader: Reader) -> tuple[Answers, Answers] | None:
    """The good and the bad answers of a file whose rows are labelled each on its own; None for another file.

    Raises RowError naming file and row; a file in which only some rows have labels is refused.
    """
    sides: dict[bool, list[tuple[Conversation, Place]]] = {True: [], False: []}
    for number, row in reader.rows(path):
        try:
            found = reader.answers(row)
            if found.good is None:
                if not sides[True] and not sides[False]:
                    reader.forget_rows()
                    return None
                raise RowError("has no label, but the rows before it are labelled good or bad each")
        except RowError as error:
            raise error.at(path, number) from None
        sides[found.good] += [(answer.conversation, (str(path), number)) for answer in found.answers]
    return Answers.of(sides[True]), Answers.of(sides[False])
