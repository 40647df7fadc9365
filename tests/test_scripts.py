"""Set-up: what it promises on a machine that has everything, and on one that lacks something."""

import importlib.machinery
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
RECIPE = SCRIPTS / "image"

# Set-up runs before anything is installed, so it is no part of the installed package.
sys.path.insert(0, str(SCRIPTS))
from machine import engine, environment, image, telling  # noqa: E402
from machine.debian import Machine  # noqa: E402

TAG = image.image_tag(RECIPE)
UNTOUCHABLE = Machine(may_install=False, has_apt=True)


def setup(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/setup as a person would."""
    return subprocess.run(
        [SCRIPTS / "setup", *arguments],
        check=False,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=900,
    )


def boxed(*command: str) -> str:
    """Run a command in the box image as boxes are run, and return what it prints."""
    options = ["--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp"]
    argv = ["docker", "run", *options, "--volume=/work", TAG, *command]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    return done.stdout


@pytest.fixture
def only(tmp_path: Path) -> Path:
    """Return the folder of a PATH on which there is this Python and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder / "python3", f'exec "{sys.executable}" "$@"')
    return folder


def program(path: Path, text: str) -> None:
    """Write a shell program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class TestRecipe:
    def test_tag_is_the_digest_of_the_recipe(self, tmp_path: Path) -> None:
        """The same files give the same tag anywhere; any changed, new or renamed file another."""
        copy = shutil.copytree(RECIPE, tmp_path / "recipe")
        assert image.image_tag(copy) == TAG
        assert re.fullmatch(r"monastery-box:[0-9a-f]{12}", TAG)
        tags = {TAG}
        for path in sorted(copy.iterdir()):
            content = path.read_bytes()
            path.write_bytes(content + b"\n")
            tags.add(image.image_tag(copy))
            path.write_bytes(content)
            renamed = path.rename(path.with_name(f"{path.name}-renamed"))
            tags.add(image.image_tag(copy))
            renamed.rename(path)
        (copy / "new").touch()
        tags.add(image.image_tag(copy))
        assert len(tags) == 2 * len(list(RECIPE.iterdir())) + 2

    def test_both_ways_build_from_the_same_files(self) -> None:
        """The Dockerfile names no package of its own: it reads what mmdebstrap is given."""
        dockerfile = (RECIPE / "Dockerfile").read_text()
        for name in ("packages.txt", "dpkg.cfg", "finish"):
            assert name in dockerfile
        run = dockerfile.partition("\nRUN ")[2].partition("\n\n")[0]
        words = set(re.findall(r"[\w.+-]+", run.replace("/tmp/recipe/packages.txt", "")))
        assert not words & set(image.packages(RECIPE))

    def test_both_ways_start_a_box_alike(self) -> None:
        """Every line of the Dockerfile after its build is one that docker import is given too."""
        dockerfile = (RECIPE / "Dockerfile").read_text()
        after = dockerfile.partition("\n\nLABEL ")[2]
        assert [f"LABEL {after}".splitlines()] == [image.settings(RECIPE)]
        assert "USER 1000:1000" in image.settings(RECIPE)

    def test_base_is_a_plain_name(self) -> None:
        """The base image comes from whatever registry the engine is set up for."""
        assert "/" not in image.base_image(RECIPE)


class TestImage:
    def test_holds_the_packages_of_the_recipe(self) -> None:
        """Every package of packages.txt is installed in the image."""
        query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"]
        told = boxed(*query, *image.packages(RECIPE)).splitlines()
        assert told == [f"{name} installed" for name in image.packages(RECIPE)]

    def test_gives_nobody_more_rights(self) -> None:
        """No file or folder of the image is setuid or setgid, and no file has capabilities."""
        look = """if True:
            import os
            for folder, _, names in os.walk("/"):
                if folder.startswith(("/proc", "/sys")):
                    continue
                for path in [folder, *(os.path.join(folder, name) for name in names)]:
                    mode = os.lstat(path).st_mode
                    caps = os.listxattr(path, follow_symlinks=False)
                    if mode & 0o6000 or "security.capability" in caps:
                        print(path)
        """
        assert boxed("python3", "-c", look) == ""

    def test_agent_works_in_its_volume(self) -> None:
        """A box on a read-only root is the agent's: a fresh /work is its own, and git commits."""
        work = "id -u; id -g; pwd; git init -q . && git commit -q --allow-empty -m x && git log"
        told = boxed("sh", "-c", work)
        assert told.startswith("1000\n1000\n/work\n")
        assert "Author: agent <agent@box>" in told

    def test_git_takes_repositories_of_others(self) -> None:
        """Git works in a folder of another owner: a repository may have been made outside."""
        told = boxed("git", "config", "--system", "--get-all", "safe.directory")
        assert told == "*\n"

    def test_keeps_no_address_of_its_builder(self) -> None:
        """Neither mirrors nor proxies of the machine that built the image are in it."""
        look = (
            "ls /etc/apt/sources.list* /etc/apt/auth.conf* 2>/dev/null; cat /etc/apt/apt.conf.d/*"
        )
        told = boxed("sh", "-c", look)
        assert "://" not in told
        assert "mmdebstrap" not in told
        assert ".sources" not in told

    def test_latest_is_this_recipe(self) -> None:
        """Both tags name one image."""
        argv = ["docker", "image", "inspect", "--format", "{{.Id}}", TAG, "monastery-box:latest"]
        told = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        assert len(set(told)) == 1


class TestAgain:
    @pytest.mark.parametrize("part", ["all", "tests"])
    def test_second_setup_does_nothing(self, part: str) -> None:
        """When all is there, set-up says nothing, runs no pip and builds no image."""
        assert setup(part, "--no-install").returncode == 0
        log = telling.LOG.stat().st_size
        again = setup(part, "--no-install")
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
        assert telling.LOG.stat().st_size == log

    def test_environment_follows_its_sources(self, tmp_path: Path) -> None:
        """A byte more in requirements.txt or pyproject.toml makes the environment out of date."""
        stamps = set()
        for name in ("requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        stamps.add(environment.environment_stamp(tmp_path))
        for name in ("requirements.txt", "pyproject.toml"):
            with (tmp_path / name).open("a") as file:
                file.write("\n")
            stamps.add(environment.environment_stamp(tmp_path))
        more = tmp_path / "more.txt"
        for text in ("", "x"):
            more.write_text(text)
            stamps.add(environment.environment_stamp(tmp_path, more.name))
        assert len(stamps) == 5


class TestUnfit:
    def test_old_python_is_named(self, only: Path) -> None:
        """With a Python that is too old, one line says which, and what is needed."""
        program(only / "python3", "echo 3.9")
        told = setup(PATH=str(only), PYTHON="")
        assert told.returncode == 3
        line = f"Python 3.11 or later is needed, but {only}/python3 is 3.9"
        assert told.stderr.startswith(f"setup: {line}")
        assert told.stderr.count("\n") == 1

    def test_no_python_is_said(self, tmp_path: Path) -> None:
        """Without any Python, one line says so."""
        told = setup(PATH=str(tmp_path), PYTHON="")
        assert told.returncode == 3
        assert "but there is none" in told.stderr
        assert told.stderr.count("\n") == 1

    def test_broken_and_old_pythons_are_passed_over(self, only: Path) -> None:
        """A shim that fails and an old release do not hide a Python that will do."""
        (only / "python3").rename(only / "python3.11")
        program(only / "python3", "echo 3.10")
        program(only / "python3.13", "exit 127")
        told = setup("image", "--tag", PATH=str(only), PYTHON="")
        assert (told.returncode, told.stdout) == (0, f"{TAG}\n")

    def test_no_docker_and_no_leave_to_install(self, only: Path) -> None:
        """Without docker and leave to install it: one line, the mend, code 3, no apt-get."""
        program(only / "apt-get", f"touch {only}/installed")
        nowhere = f"unix://{only}/docker.sock"
        told = setup("engine", "--no-install", PATH=str(only), DOCKER_HOST=nowhere)
        assert told.returncode == 3
        assert told.stderr.startswith("setup: there is no Docker engine; ")
        assert told.stderr.count("\n") == 1
        assert not (only / "installed").exists()

    def test_no_git(self, only: Path) -> None:
        """Without git and without leave to install it: one line, code 3."""
        told = setup("venv", "--no-install", PATH=str(only))
        assert told.returncode == 3
        assert told.stderr.startswith("setup: there is no git; ")
        assert told.stderr.count("\n") == 1

    def test_no_sshd(self, only: Path) -> None:
        """Without OpenSSH's client and without leave to install it: one line, code 3."""
        told = setup("tests", "--no-install", PATH=str(only))
        assert told.returncode == 3
        assert told.stderr.startswith("setup: there is no sshd, which tests start; ")
        assert told.stderr.count("\n") == 1

    def test_silent_engine(self, only: Path) -> None:
        """A DOCKER_HOST where nothing answers is named; no other engine is taken instead."""
        docker = shutil.which("docker")
        assert docker is not None
        (only / "docker").symlink_to(docker)
        nowhere = f"unix://{only}/docker.sock"
        told = setup("engine", PATH=str(only), DOCKER_HOST=nowhere)
        assert told.returncode == 3
        assert f"DOCKER_HOST={nowhere!r}" in told.stderr
        assert told.stderr.count("\n") == 1

    def test_mend_on_debian_is_a_command(self) -> None:
        """Where the packages are known, the line holds the command that installs them."""
        with pytest.raises(telling.Unfit, match=r"as root: apt-get install one two$"):
            UNTOUCHABLE.install("one", "two", lacking="there is no one", about_seconds=1)

    def test_option_of_another_part_is_bad_input(self) -> None:
        """An option that belongs to another part is refused with code 2, not ignored."""
        assert setup("venv", "--stop").returncode == 2


class TestControlGroups:
    ENABLED = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
    UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    BASE = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    MEMORY = "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

    def test_unified_is_enough(self) -> None:
        """With the unified hierarchy mounted, nothing is missing."""
        assert engine.missing_cgroups(self.UNIFIED, self.ENABLED + "memory\t0\t1\t1\n") == []

    def test_bare_machine_gets_the_unified_one(self) -> None:
        """With nothing mounted and no controller taken, the unified hierarchy is mounted."""
        wanted = [("cgroup2", "rw", "/sys/fs/cgroup")]
        assert engine.missing_cgroups("", self.ENABLED + "memory\t0\t1\t1\n") == wanted

    def test_separate_hierarchies_are_completed(self) -> None:
        """Where controllers are mounted one by one, those that an engine needs are added."""
        enabled = "memory\t1\t1\t1\npids\t0\t1\t1\nrdma\t0\t1\t1\ncpuset\t0\t1\t0\n"
        missing = engine.missing_cgroups(self.BASE + self.MEMORY, self.ENABLED + enabled)
        assert missing == [("cgroup", "pids", "/sys/fs/cgroup/pids")]

    def test_controllers_that_share_are_mounted_together(self) -> None:
        """Controllers of one hierarchy can only be mounted as one, on a folder that exists."""
        enabled = "cpu\t4\t1\t1\ncpuacct\t4\t1\t1\n"
        assert engine.missing_cgroups("", self.ENABLED + enabled) == [
            ("tmpfs", "mode=755", "/sys/fs/cgroup"),
            ("cgroup", "cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
        ]


class TestPins:
    def test_everything_asked_for_is_pinned(self) -> None:
        """Every requirement of pyproject.toml, its build, tools and models has one version."""
        files = (ROOT / "requirements.txt", ROOT / "requirements-models.txt")
        pins = [line for file in files for line in file.read_text().splitlines()]
        entries = [line for line in pins if not line.startswith("#")]
        names = {canonical(entry.partition("==")[0]) for entry in entries}
        assert all(re.fullmatch(r"[\w.\-]+==[\w.\-+!]+", entry) for entry in entries)
        assert len(names) == len(entries)
        asked = {
            canonical(re.split(r"[^\w.\-]", spec)[0])
            for extra in ("dev", "models", "local")
            for spec in environment.requirements(ROOT, extra)
        }
        assert asked - names == set()


def canonical(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class TestTree:
    def test_names_no_registry(self) -> None:
        """No file of the project names a registry's host: images are plain names."""
        hosts = (
            rb"docker\.io/",
            rb"registry-\d",
            rb"ghcr\.",
            rb"quay\.",
            rb"[^\w]gcr\.",
            rb"mcr\.",
        )
        pattern = re.compile(b"|".join(hosts))
        guilty = [
            path
            for path in tracked()
            if path != Path(__file__) and pattern.search(path.read_bytes())
        ]
        assert guilty == []

    def test_scripts_are_executable_and_parse(self) -> None:
        """What make and CI call can be run, and a shell reads every shell script to its end."""
        for name, shell in (
            ("scripts/setup", "sh"),
            ("scripts/image/finish", "sh"),
            (".ci/run", "bash"),
        ):
            assert (ROOT / name).stat().st_mode & stat.S_IXUSR
            subprocess.run([shell, "-n", ROOT / name], check=True)

    def test_make_alone_lists_the_targets(self) -> None:
        """`make` does nothing but list every target that people call."""
        told = subprocess.run(
            ["make", "-C", ROOT], check=True, capture_output=True, text=True
        ).stdout
        listed = set(re.findall(r"^  make (\w+) ", told, re.MULTILINE))
        assert listed >= {"setup", "demo", "test", "lint", "format", "bench", "pins", "clean"}

    def test_type_check_sees_a_planted_error(self, tmp_path: Path) -> None:
        """The type checker looks into the four packages, and into a file that was just added."""
        for name in ("Makefile", "pyproject.toml", "scripts"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / name)
        for room in ("runtime", "sandbox", "auditor", "policies"):
            (tmp_path / room).mkdir()
            (tmp_path / room / "__init__.py").touch()
        assert types(tmp_path).returncode == 0
        (tmp_path / "auditor" / "new.py").write_text("def wrong() -> int:\n    return 'planted'\n")
        told = types(tmp_path)
        assert told.returncode != 0
        assert "monastery/auditor/new.py:2: error" in told.stdout


def tracked() -> list[Path]:
    """Return the project's files: those that git knows, and those that it would be told of."""
    argv = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    told = subprocess.run(
        [*argv, "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout.decode()
    return [path for name in told.split("\0") if name and (path := ROOT / name).is_file()]


def types(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Type-check a checkout as make does, with the tools of this environment."""
    argv = [
        "make",
        "-C",
        str(checkout),
        "-o",
        "venv",
        "types",
        f"VENV={Path(sys.executable).parent}",
    ]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=300)


class TestDemo:
    @pytest.mark.parametrize(
        ("closing", "failed"),
        [
            ("3 failed, 12 passed in 0.10s", 3),
            ("12 passed in 0.10s", 0),
            ("1 failed, 2 passed, 3 errors in 0.10s", 4),
            ("1 error in 0.05s", 1),
            ("no result (exit code 125)", float("inf")),
        ],
    )
    def test_reads_closing_lines(self, closing: str, failed: float) -> None:
        """Failures and errors are counted; a suite that gave no result is worse than any."""
        assert demo().failures(closing) == failed


def demo() -> ModuleType:
    """Load scripts/demo, which has no ending by which it could be imported."""
    loader = importlib.machinery.SourceFileLoader("monastery_demo", str(SCRIPTS / "demo"))
    spec = importlib.util.spec_from_loader("monastery_demo", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
