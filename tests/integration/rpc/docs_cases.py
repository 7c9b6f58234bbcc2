# SPDX-License-Identifier: Apache-2.0
"""The snippets of docs/clients.md for Python, run as they stand; those for Node and the shell run with their tests."""
import os
import re
import subprocess
import sys

SOURCE = os.environ.get("POLARYS_SOURCE", os.getcwd())


def snippets_in_python(world):
    with open(os.path.join(SOURCE, "docs", "clients.md"), encoding="utf-8") as file:
        code = re.findall(r"^```python\n(.*?)^```$", file.read(), re.M | re.S)
    assert code, "no snippet in Python"
    program = os.path.join(world.scratch, "snippets.py")
    with open(program, "w", encoding="utf-8") as file:
        file.write("\n".join(code).replace("127.0.0.1:7480", f"127.0.0.1:{world.server.port}"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):  # the second run finds its table there
        run = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False,
                             env=environment)
        assert run.returncode == 0, run.stderr
        assert '{"name":"Ada","born":1815}' in run.stdout and "10 batches" in run.stdout, run.stdout
        assert "1000 documents" in run.stdout, run.stdout
        assert 'william {"name":"William","born":1805}\nada {"name":"Ada","born":1815}\n' in run.stdout, run.stdout
        assert "william An earl who kept the [calculations] of his wife" in run.stdout, run.stdout


CASES = [snippets_in_python]
