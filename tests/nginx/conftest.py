"""nginx itself, for tests that need no host: the machine's own or Debian's package, unpacked."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_tree import Tree


@pytest.fixture(scope="session")
def nginx_root(request: pytest.FixtureRequest) -> Path:
    """A folder with Debian's nginx in it: the machine's own, or its package unpacked."""
    if Path("/usr/sbin/nginx").exists() and Path("/etc/nginx/mime.types").exists():
        return Path("/")
    cache: Path = request.config.cache.mkdir("nginx")
    root = cache / "root"
    if not (root / "usr/sbin/nginx").exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            pytest.skip("no nginx on this machine, and no apt to fetch it with")
        fetched = subprocess.run(
            ["apt-get", "download", "nginx", "nginx-common"],
            cwd=cache,
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode:
            pytest.skip(f"no nginx on this machine, and apt cannot fetch it: {fetched.stderr}")
        for package in cache.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    return root


@pytest.fixture(scope="session")
def nginx(nginx_root: Path) -> str:
    """The program."""
    return str(nginx_root / "usr/sbin/nginx")


@pytest.fixture
def tree(tmp_path: Path, nginx: str, nginx_root: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path, nginx, nginx_root / "etc/nginx/mime.types")
    yield tree
    tree.stop()
