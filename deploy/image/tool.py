"""Fetches one program into an image, by its checksum.

python tool.py NAME URL SHA256 DIRECTORY

URL leads to the program itself or to a .tar.gz that holds it; SHA256 is of what URL leads to, as its makers publish
it. Without a URL nothing is fetched: the image then lacks this program. A wrong checksum ends the build, and nothing
is kept.
"""

import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path

MAX_BYTES = 200_000_000
TIMEOUT_S = 120


def main(name: str, url: str, sha256: str, directory: str) -> int:
    """Exit code 1 when it is not what was asked for."""
    into = Path(directory)
    into.mkdir(parents=True, exist_ok=True)
    if not url:
        print(f"{name}: no address given, the image is built without it")
        return 0
    if not url.startswith("https://") or len(sha256) != 64:
        print(
            f"{name}: an address that begins with https:// and the 64 digits of its SHA-256 are needed", file=sys.stderr
        )
        return 1
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 https, see above
            data = answer.read(MAX_BYTES + 1)
    except OSError as error:
        print(f"{name}: {url} cannot be read: {error}", file=sys.stderr)
        return 1
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        print(f"{name}: {url} has the SHA-256 {found}, not {sha256}", file=sys.stderr)
        return 1
    program = _unpacked(name, data) if url.endswith((".tar.gz", ".tgz")) else data
    if program is None:
        print(f"{name}: {url} holds no file of that name", file=sys.stderr)
        return 1
    (into / name).write_bytes(program)
    (into / name).chmod(0o755)
    print(f"{name}: {len(program)} bytes, as asked")
    return 0


def _unpacked(name: str, data: bytes) -> bytes | None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            held = archive.extractfile(member) if member.isfile() and Path(member.name).name == name else None
            if held is not None:
                return held.read(MAX_BYTES)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]) if len(sys.argv) == 5 else __doc__)
