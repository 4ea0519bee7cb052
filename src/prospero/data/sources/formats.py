"""How a file is read, by its ending: text, JSON, tables, pages, WARC, their compressed forms, and archives of them all.

Whatever goes wrong in a file becomes one line that begins with its place; a member of an archive is a file too.
"""

import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prospero.data.document import Document
from prospero.data.sources.archives import TAR_ENDINGS, Member, tar_members, zip_members
from prospero.data.sources.compression import COMPRESSIONS, UNPACKING, ByteStream, Expansion, unpacked
from prospero.data.sources.find_files import FoundFile, content_ending, why_left_out
from prospero.data.sources.json_format import read_json, read_json_lines
from prospero.data.sources.reading import Reading
from prospero.data.sources.table_format import read_csv, read_parquet
from prospero.data.sources.text_format import read_text
from prospero.data.sources.warc import WARC_ENDINGS, read_warc
from prospero.data.sources.web_pages import HTML_ENDINGS, Html, read_page
from prospero.errors import DataError

BAD_FILES = "bad files skipped"
_PARQUET = (".parquet", ".pq")
_DAMAGE = (*UNPACKING, ValueError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError)


def archive_kind(name: str) -> tuple[str, str | None] | None:
    """Return ("tar" or "zip", its compression or None) by the ending of a file's name; None when it is no archive."""
    ending = os.path.splitext(name.lower())[1]
    if ending in TAR_ENDINGS:
        return "tar", TAR_ENDINGS[ending]
    if (inner := content_ending(name)) in (".tar", ".zip"):
        return inner[1:], COMPRESSIONS.get(ending)
    return None


@dataclass(kw_only=True, slots=True)
class Formats:
    """The readers of all forms, with the settings that they take."""

    reading: Reading
    tsv_quotes: bool = False
    max_unpacking_ratio: int | None = None
    html: Html = Html.source
    skip_bad: bool = False
    """Leave a member of an archive that is damaged out and count it, rather than the archive."""
    met: set[str] = field(default_factory=set)
    """The endings of what was read."""

    def documents(self, file: FoundFile) -> Iterator[Document]:
        """Read one file; raises `DataError` in one line that begins with its place."""
        with _one_line(file.name, file.place):
            if (kind := archive_kind(file.path.name)) is not None:
                yield from self._archive(file, *kind)
            elif file.ending in _PARQUET:
                yield from read_parquet(file, self.reading, self.max_unpacking_ratio)
            else:
                with file.open() as opened:
                    stream = self._unpacked(opened, file.path.name, file.place, file.size)
                    yield from self._by_ending(stream, file.ending, file.name)

    def _unpacked(self, stream: ByteStream, name: str, place: str, size: int) -> ByteStream:
        compression = COMPRESSIONS.get(os.path.splitext(name.lower())[1])
        if compression is None:
            return stream
        return unpacked(stream, compression, Expansion(place, size, self.max_unpacking_ratio))

    def _by_ending(self, stream: ByteStream, ending: str, name: str) -> Iterator[Document]:
        self.met.add(ending)
        if ending in (".jsonl", ".ndjson"):
            yield from read_json_lines(stream, name, self.reading)
        elif ending == ".json":
            yield from read_json(stream, name, self.reading)
        elif ending in (".csv", ".tsv"):
            is_tsv = ending == ".tsv"
            quotes = self.tsv_quotes or not is_tsv
            yield from read_csv(stream, name, self.reading, "\t" if is_tsv else ",", quotes=quotes)
        elif ending in WARC_ENDINGS:
            yield from read_warc(stream, name, self.reading, self.html)
        elif ending in HTML_ENDINGS and self.html is Html.main_text:
            yield from read_page(stream, name, self.reading)
        else:
            yield from read_text(stream, name, self.reading)

    def _archive(self, file: FoundFile, kind: str, compression: str | None) -> Iterator[Document]:
        """Read the members of an archive, of which those count as texts that do in a folder."""
        notes = self.reading.notes
        expansion = Expansion(file.place, file.size, self.max_unpacking_ratio)
        with file.open() as opened:
            if kind == "zip" and compression is not None:
                raise DataError(f"{file.place}: a zip archive that is packed once more; unpack it to the .zip")
            if kind == "zip":
                members = zip_members(opened, expansion, notes)
            else:
                stream = opened if compression is None else unpacked(opened, compression, expansion)
                members = tar_members(stream, file.place, notes)
            for member in members:
                if (reason := why_left_out(member.name, WARC_ENDINGS)) is not None:
                    notes[reason] += 1
                elif not member.size:
                    notes["empty files"] += 1
                else:
                    yield from self._member(member, file)

    def _member(self, member: Member, archive: FoundFile) -> Iterator[Document]:
        name, place = f"{archive.name}#{member.name}", f"{archive.place}#{member.name}"
        try:
            with _one_line(name, place):
                ending = content_ending(member.name)
                if ending in _PARQUET:
                    raise DataError(f"{place}: Parquet cannot be read within an archive; unpack this file")
                stream = self._unpacked(member.stream, member.name, place, member.size)
                yield from self._by_ending(stream, ending, name)
        except DataError as error:
            if not self.skip_bad:
                raise
            self.reading.notes[f"{BAD_FILES}: {error}"] += 1


@contextmanager
def _one_line(name: str, place: str) -> Iterator[None]:
    """Make one line that begins with `place` of what the readers of a file called `name` raise."""
    try:
        yield
    except DataError as error:
        message = str(error)
        if message.startswith(name) and not message.startswith(place):
            message = place + message[len(name) :]
        raise DataError(message) from None
    except PermissionError:
        raise DataError(f"{place}: no permission to read; change its mode or its owner.") from None
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{place}: damaged, cut off, or not what its ending says ({reason}).") from None
