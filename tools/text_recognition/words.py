"""The texts to train on: invented words, random letters and numbers, never a word kept for evaluation."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

#: The words kept for evaluation, one a line.
EVALUATION_WORDS: Final = Path(__file__).with_name("words.txt")


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_ONSETS: Final = _pieces(
    "b c d f g h j k l m n p qu r s t v w y z bl br ch cl cr dr fl fr gl gr kn ph pl pr sc sh sk sl sm sn sp "
    "squ st str sw th thr tr tw wh wr"
)
_VOWELS: Final = _pieces("a e i o u a e i o u a e i o u ai au ea ee ei ia ie io oa oi oo ou ow ue ui y")
_CODAS: Final = _pieces(
    "b ck ct d f ff g ght k l ll lf lm lt m mp n nd ng nk nt p r rd rk rm rn rt s ss st sh t tt th tch w x y z zz"
)
_ENDINGS: Final = _pieces("e er ing ed ly tion ness y le al ic ish ment ure age ow ip ive ine ack ill oll")


@dataclass(frozen=True)
class Text:
    """What is drawn, and what the model must answer (always lower case)."""

    drawn: str
    answer: str


def load_words(path: Path = EVALUATION_WORDS) -> list[str]:
    """Read a list of words, one a line."""
    return path.read_text(encoding="ascii").split()


class TextMaker:
    """An endless source of training texts, none of which is in `excluded`."""

    def __init__(self, seed: int, excluded: frozenset[str]) -> None:
        self._random = Random(seed)
        self._excluded = excluded

    def make(self) -> Text:
        """Make one text: mostly lower-case words, now and then capitals or digits."""
        while True:
            kind = self._random.random()
            if kind < 0.55:
                answer = self._invented_word()
            elif kind < 0.92:
                answer = self._letters(_LETTERS)
            elif kind < 0.97:
                answer = self._letters(_DIGITS)
            else:
                answer = self._letters(_LETTERS)[:7] + self._letters(_DIGITS)[:3]
            if answer not in self._excluded:
                return Text(self._in_some_case(answer), answer)

    def _in_some_case(self, answer: str) -> str:
        """Draw a few words in capitals, or with a first capital; most stay in lower case."""
        kind = self._random.random()
        if kind < 0.06:
            return answer.upper()
        if kind < 0.12:
            return answer.capitalize()
        return answer

    def _letters(self, letters: str) -> str:
        return "".join(self._random.choices(letters, k=self._random.randint(3, 10)))

    def _invented_word(self) -> str:
        """String syllables together until the word has a length drawn beforehand."""
        choice = self._random.choice
        length = self._random.randint(3, 10)
        word = ""
        while len(word) < length:
            word += choice(_ONSETS) if self._random.random() < 0.85 else ""
            word += choice(_VOWELS)
            word += choice(_CODAS) if self._random.random() < 0.55 else ""
        if self._random.random() < 0.3:
            ending = choice(_ENDINGS)
            word = word[: max(1, length - len(ending))] + ending
        return word[: max(3, length)]
