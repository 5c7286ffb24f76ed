"""`python -m tests.finance` writes the outputs of docs/finance.md anew, by the test that compares them."""

import os
import subprocess
import sys

from tests.docs.pages import ROOT
from tests.finance.story import WRITES

TEST = "tests/finance/test_story.py"

if __name__ == "__main__":
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", TEST]
    sys.exit(subprocess.run(words, cwd=ROOT, env={**os.environ, WRITES: "1"}, check=False).returncode)
