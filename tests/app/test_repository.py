"""A source out of a git repository, fetched by git itself."""

import os
import subprocess
from pathlib import Path

import pytest
from fuego_deploy import repository, source
from fuego_deploy.layout import DeployError, redact
from fuego_deploy.repository import Repository, lay_out


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, text: str) -> str:
    (folder / "main.py").write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def content(shop: Path, cache: Path, version: str = "") -> str:
    folder, _ = lay_out(Repository(str(shop), version, "apps.shop.source"), cache)
    assert not (folder / ".git").exists()
    return (folder / "main.py").read_text()


def test_a_tag_a_branch_a_commit_and_nothing(shop: Path, cache: Path) -> None:
    first = commit(shop, "one")
    git(shop, "tag", "v1")
    git(shop, "branch", "stable")
    commit(shop, "two")
    for version, text in (("v1", "one"), ("stable", "one"), ("trunk", "two"), ("", "two"),
                          (first, "one"), (first[:7], "one")):  # fmt: skip
        assert content(shop, cache, version) == text


def test_what_moves_there_moves_here(shop: Path, cache: Path) -> None:
    commit(shop, "one")
    git(shop, "tag", "latest")
    assert content(shop, cache, "latest") == content(shop, cache) == "one"
    commit(shop, "two")
    git(shop, "tag", "--force", "latest")
    assert content(shop, cache, "latest") == content(shop, cache) == "two"


def test_an_annotated_tag_wins_over_a_branch_of_its_name(shop: Path, cache: Path) -> None:
    commit(shop, "one")
    git(shop, "tag", "--annotate", "--message=first", "v1")
    git(shop, "checkout", "--quiet", "-b", "v1")
    commit(shop, "two")
    assert content(shop, cache, "v1") == "one"


def test_a_commit_that_is_here_asks_nobody(shop: Path, cache: Path) -> None:
    first = commit(shop, "one")
    content(shop, cache)
    shop.rename(shop.with_name("gone"))
    assert content(shop, cache, first) == "one"
    with pytest.raises(DeployError, match=r"apps\.shop\.source: .* cannot be fetched; git says:"):
        content(shop, cache, "trunk")


def test_a_version_that_is_not_there(shop: Path, cache: Path) -> None:
    commit(shop, "one")
    with pytest.raises(DeployError, match=r"source\.version: 'v9' is no tag, branch or commit of"):
        content(shop, cache, "v9")


def test_submodules_are_refused(shop: Path, cache: Path) -> None:
    (shop / ".gitmodules").write_text("")
    commit(shop, "one")
    with pytest.raises(DeployError, match="has submodules, which are not fetched"):
        content(shop, cache)


def test_few_commits_stay_laid_out(
    shop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "KEPT", 2)
    for text in ("one", "two", "three"):
        commit(shop, text)
        assert content(shop, cache) == text
    (laid_out,) = [path for path in (cache / "git").glob("[0-9a-f]*") if not path.suffix]
    assert len(list(laid_out.iterdir())) == 2


def test_a_password_is_not_told() -> None:
    address = "https://me:secret@git.example/shop.git"
    assert redact(address) == "https://***@git.example/shop.git"


@pytest.mark.parametrize("address", ["ext::sh -c true", "--upload-pack=true"])
def test_an_address_runs_nothing(address: str, cache: Path) -> None:
    with pytest.raises(DeployError, match="cannot be fetched"):
        lay_out(Repository(address, "", "apps.shop.source"), cache)


def test_all_that_is_committed_is_laid_out(shop: Path, cache: Path) -> None:
    for name in (".env", "node_modules/x.js", "kept/page.html"):
        (shop / name).parent.mkdir(exist_ok=True)
        (shop / name).write_text("x")
    (shop / ".gitattributes").write_text("kept export-ignore\n")
    commit(shop, "one")
    folder, _ = lay_out(Repository(str(shop), "", "apps.shop.source"), cache)
    listing = source.list_source(folder, "apps.shop.source", whole=True)
    names = {os.fsdecode(entry.path) for entry in listing.entries}
    assert names == {".env", ".gitattributes", "kept/page.html", "main.py", "node_modules/x.js"}


def test_two_controllers_make_the_same_of_a_commit(shop: Path, tmp_path: Path) -> None:
    commit(shop, "one")
    at = Repository(str(shop), "", "apps.shop.source")
    one, other = (lay_out(at, tmp_path / name)[0] / "main.py" for name in ("a", "b"))
    assert one.stat().st_mtime == other.stat().st_mtime == int(git(shop, "log", "--format=%ct"))


def test_a_head_that_leads_nowhere_matters_where_no_version_is_named(
    shop: Path, cache: Path
) -> None:
    commit(shop, "one")
    git(shop, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    assert content(shop, cache, "trunk") == "one"
    with pytest.raises(DeployError, match="cannot be fetched"):
        content(shop, cache)


def test_a_branch_that_is_gone_there_is_gone_here(shop: Path, cache: Path) -> None:
    commit(shop, "one")
    git(shop, "branch", "old")
    assert content(shop, cache, "old") == "one"
    git(shop, "branch", "--delete", "old")
    with pytest.raises(DeployError, match="'old' is no tag, branch or commit"):
        content(shop, cache, "old")
