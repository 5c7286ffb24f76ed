"""Signatures over a close id, made and verified by `ssh-keygen -Y` (OpenSSH 8.2 or later) in the namespace `tollbook`.

The signed text is the close id without a line end. Private keys stay with ssh-keygen, its agent or the security key.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from schemas.catalog.approval import Principal

NAMESPACE = "tollbook"
_PROGRAM = "ssh-keygen"


class NoSignature(Exception):
    """A signature could not be made or checked. The message says what to do."""


def allowed_signers(principals: Iterable[Principal]) -> str:
    """The file of allowed signers, as ssh-keygen reads it."""
    return "".join(f'{person.id} namespaces="{NAMESPACE}" {key}\n' for person in principals for key in person.keys)


def signed(close_id: str, key: Path) -> str:
    """The signature of a close id by a private key, or by the agent for a public key. It may ask for a passphrase."""
    found = _run(["sign", "-n", NAMESPACE, "-f", str(key)], close_id)
    if found.returncode:
        raise NoSignature(f"{key} did not sign: {_last_line(found)}; name the file of your private key with --key")
    return found.stdout


def is_signed(close_id: str, signature: str, person: Principal) -> bool:
    """Whether one of the keys of this person made the signature over the close id. Raises NoSignature."""
    with tempfile.TemporaryDirectory(prefix="tollbook-") as folder:
        signers, made = Path(folder) / "allowed_signers", Path(folder) / "signature"
        signers.write_text(allowed_signers([person]), encoding="ascii")
        made.write_text(signature, encoding="utf-8")
        arguments = ["verify", "-f", str(signers), "-I", person.id, "-n", NAMESPACE, "-s", str(made)]
        return _run(arguments, close_id).returncode == 0


def _run(arguments: list[str], text: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which(_PROGRAM)
    if program is None:
        raise NoSignature(f"{_PROGRAM} is not installed; install OpenSSH 8.2 or later, which has it")
    return subprocess.run(  # noqa: S603  # without a shell; the arguments are paths and checked ids
        [program, "-Y", *arguments], input=text, capture_output=True, text=True, check=False
    )


def _last_line(found: "subprocess.CompletedProcess[str]") -> str:
    return (found.stderr.strip() or "no message").splitlines()[-1]
