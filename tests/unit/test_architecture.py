"""Who may import whom, what the light processes load, and how large a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "tis": ROOT / "tis",
    "tis_frontend": ROOT / "frontend" / "tis_frontend",
    "tis_workers": ROOT / "workers" / "tis_workers",
    "tis_shm": ROOT / "shm" / "tis_shm",
}
FRAMEWORKS = {"onnxruntime", "torch", "tensorflow", "openvino", "jax", "treelite", "nvforest", "nvidia", "tensorrt"}
WEB = {"grpc", "hpack", "starlette", "uvicorn", "uvloop", "httptools", "fastapi"}
LONGEST_FILE_LINES = 400

#: What each part may import of ours, besides itself. `tis.scheduler` stands for the package and all in it.
COMMON = {"tis", "tis.errors", "tis.log", "tis.log_output", "tis.settings"}
CONTRACTS = COMMON | {"tis.contracts", "tis.carrier", "tis.process", "tis_shm"}
IMPORTED_BY_MODELS = ("triton_python_backend_utils", "c_python_backend_utils")
OURS: dict[str, set[str]] = {
    "tis_shm": set(),
    "tis": {"tis.functions"},
    "tis.errors": set(),
    "tis.settings": set(),
    "tis.log": {"tis.log_output", "tis.settings"},
    "tis.log_output": set(),
    "tis.generated": set(),
    "tis.nvml": set(),
    "tis.pinned": set(),
    "tis.process": set(),
    "tis.runtime_dir": {"tis.errors"},
    "tis.contracts": COMMON | {"tis_shm"},
    "tis.carrier": COMMON | {"tis.contracts", "tis_shm"},
    "tis.environments": {"tis.errors"},
    "tis.config": COMMON | {"tis.contracts", "tis.environments", "tis.generated"},
    "tis.repository": COMMON | {"tis.contracts", "tis.config"},
    "tis.scheduler": CONTRACTS,
    "tis.supervisor": CONTRACTS
    | {
        "tis.config",
        "tis.curve_keys",
        "tis.environments",
        "tis.nvml",
        "tis.pinned",
        "tis.repository",
        "tis.runtime_dir",
    },
    "tis.functions": {"tis.contracts"},
    # For programs of others, which have nothing else of the server.
    "tis.client": set(),
    # For the tests of others: it runs a worker's code in their process.
    "tis.testing": CONTRACTS | {"tis.config", "tis.functions", "tis.repository", "tis.supervisor", "tis_workers"},
    "tis.curve_keys": {"tis.errors"},
    "tis.cli": COMMON
    | {"tis.supervisor", "tis.config", "tis.contracts", "tis.environments", "tis.pinned", "tis.repository"}
    | {"tis.testing"},
    "tis.__main__": {"tis.cli"},
    "tis_frontend": CONTRACTS | {"tis.config", "tis.curve_keys", "tis.generated", "tis.nvml"},
    "tis_workers": CONTRACTS | {"tis.config", "tis.functions"},
    "triton_python_backend_utils": {"tis_workers"},
    "c_python_backend_utils": {"tis_workers"},
}
#: What each part may import of others. A part that is not here imports the standard library only.
OTHERS: dict[str, set[str]] = {
    "tis.settings": {"msgspec"},
    "tis.contracts": {"msgspec", "numpy", "zmq"},
    "tis.carrier": {"msgspec"},
    "tis.config": {"google", "tritonclient", "yaml"},
    "tis.repository": {"google"},
    "tis.nvml": {"pynvml"},
    "tis.scheduler": {"msgspec", "redis", "zmq"},
    "tis.supervisor": {"msgspec", "zmq"},
    "tis.functions": {"numpy"},
    "tis.client": {"msgpack", "numpy", "torch", "zmq"},
    "tis.curve_keys": {"zmq"},
    "tis.testing": {"numpy"},
    "tis.cli": {"msgspec", "numpy"},
    "tis_frontend": {"google", "msgspec", "nacl", "numpy", "opentelemetry", "rapidjson", "tritonclient", "zmq"} | WEB,
    "tis_workers": {"msgspec", "numpy", "zmq"} | FRAMEWORKS,
    # Triton's module has numpy by that name, too.
    "triton_python_backend_utils": {"numpy"},
}


def files() -> Iterator[tuple[str, Path]]:
    """Every module of the server by its name."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(part for part in parts if part != "__init__"), path
    for name in IMPORTED_BY_MODELS:
        yield name, ROOT / "workers" / f"{name}.py"


MODULES = dict(files())


def part_of(module: str) -> str:
    """The line of the tables that a module belongs to."""
    names = module.split(".")
    return ".".join(names[:2]) if names[0] == "tis" else names[0]


def imports(path: Path, *, whole: bool = True) -> set[str]:
    """The modules that a file imports: anywhere in it, or when it is imported itself."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if whole else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            base = node.module or ""
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return found


def loaded_by(module: str) -> set[str]:
    """The top-level packages that importing a module loads, in an interpreter of its own."""
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_part_may(module: str) -> None:
    part = part_of(module)
    assert part in OURS, f"{part} has no line in the table of who may import whom"
    for imported in imports(MODULES[module]):
        top = imported.partition(".")[0]
        if top in PACKAGES:
            assert part_of(imported) in OURS[part] | {part}, f"{module} imports {imported}"
        else:
            assert top in sys.stdlib_module_names | OTHERS.get(part, set()), f"{module} imports {imported}"


def test_the_tables_list_no_part_that_is_gone() -> None:
    parts = {part_of(module) for module in MODULES}
    assert set(OURS) <= parts
    assert set(OTHERS) <= parts


def test_nobody_imports_a_frontend_or_a_worker_from_outside() -> None:
    for module, path in MODULES.items():
        if part_of(module) in ("tis.testing", *IMPORTED_BY_MODELS):
            # What users' own programs import; no process of a server does so with the first.
            assert not any(each.startswith("tis_frontend") for each in imports(path)), module
            continue
        for imported in imports(path):
            for package in ("tis_frontend", "tis_workers"):
                assert not imported.startswith(package) or module.startswith(package), f"{module} imports {imported}"


def test_the_supervisor_imports_no_process_that_it_starts() -> None:
    for module, path in MODULES.items():
        if module.startswith(("tis.supervisor", "tis.cli")):
            assert not any(part_of(each) == "tis.scheduler" for each in imports(path)), module


def test_only_one_file_knows_that_the_transport_is_grpcio() -> None:
    assert [module for module, path in MODULES.items() if "grpc" in imports(path)] == ["tis_frontend.grpc.server"]


def test_frameworks_are_imported_by_their_backends_only() -> None:
    for module, path in MODULES.items():
        if FRAMEWORKS & {each.partition(".")[0] for each in imports(path)}:
            # A client's result gives tensors to programs that have torch already.
            assert module.startswith("tis_workers.backends.") or module == "tis.client.result", module


@pytest.mark.parametrize("module", ["tis.supervisor.serve", "tis.scheduler.__main__", "tis.cli.main", "tis.client"])
def test_the_processes_that_must_not_break_load_no_web_server_and_no_framework(module: str) -> None:
    assert not loaded_by(module) & (WEB | FRAMEWORKS | {"tis_frontend", "tis_workers"})


def test_the_supervisor_does_not_load_the_scheduler() -> None:
    program = (
        "import sys, tis.supervisor.serve; print(*[name for name in sys.modules if name.startswith('tis.scheduler')])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "module", ["tis_workers", "tis_workers.__main__", "tis_workers.runner", "tis_workers.backends"]
)
def test_a_worker_loads_no_framework_until_it_knows_which(module: str) -> None:
    assert not loaded_by(module) & (WEB | FRAMEWORKS)


def test_a_frontend_loads_no_framework() -> None:
    assert not loaded_by("tis_frontend.__main__") & (FRAMEWORKS | {"tis_workers"})


def test_a_client_loads_nothing_of_the_server() -> None:
    program = "import sys, tis.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert {".".join(name.split(".")[:2]) for name in loaded if name.startswith("tis")} == {"tis", "tis.client"}
    program = "import sys, numpy, zmq.asyncio, zmq.utils.monitor, msgpack; print(*sys.modules)"
    allowed = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in allowed.stdout.split()} | sys.stdlib_module_names | {"tis"}
    assert {name.partition(".")[0] for name in loaded} <= tops


def test_shared_memory_needs_nothing_but_the_standard_library() -> None:
    assert loaded_by("tis_shm.slab, tis_shm.limits") <= sys.stdlib_module_names | loaded_by("os") | {"tis_shm"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_for(module: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[module].read_text()))
    assert text, f"{module} has no docstring"


@pytest.mark.parametrize(
    "path",
    [path for folder in (*PACKAGES.values(), ROOT / "tools", ROOT / "tests") for path in sorted(folder.rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE_LINES
