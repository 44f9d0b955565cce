"""Workers see their share of the machine only: invented machines, real environments."""

import dataclasses
import importlib.metadata
import os
from pathlib import Path

import pytest

from tis.config.spreading import GpuRoom
from tis.contracts.model_spec import InstanceSpec
from tis.nvml import GpuFacts, GpuMemory
from tis.settings import ServerSettings
from tis.supervisor.machine import Machine, backend_uses_gpu, invented_machine, machine_under
from tis.supervisor.machine import this_machine as any_machine

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*THREADS, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


def this_machine(environment: dict[str, str] | None = None, folder: Path = Path("/dev")) -> Machine:
    """This machine without NVIDIA's library, whether or not it has that."""
    return any_machine(environment or {}, folder, tuple)


def devices(tmp_path: Path, *names: str) -> Path:
    """A /dev of our own."""
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


# ---- GPUs ----------------------------------------------------------------------------------------------------------


def test_gpus_are_counted_by_their_devices_and_nothing_else_is_taken_for_one(tmp_path: Path) -> None:
    folder = devices(tmp_path, "nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "nvme0")
    assert this_machine({}, folder).gpus == ("0", "1", "2")


def test_a_machine_without_gpus_has_none_whatever_the_environment_says(tmp_path: Path) -> None:
    assert this_machine({}, tmp_path).gpus == ()
    assert this_machine({"CUDA_VISIBLE_DEVICES": "0,1"}, tmp_path).gpus == ()


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("1", ("1",)),
        ("1,0", ("1", "0")),
        ("GPU-abc, GPU-def", ("GPU-abc", "GPU-def")),
        ("MIG-123", ("MIG-123",)),
        ("", ()),
        ("-1", ()),
    ],
)
def test_the_server_keeps_to_the_gpus_that_it_is_shown(tmp_path: Path, visible: str, gpus: tuple[str, ...]) -> None:
    folder = devices(tmp_path, "nvidia0", "nvidia1")
    assert this_machine({"CUDA_VISIBLE_DEVICES": visible}, folder).gpus == gpus


def test_a_server_told_to_use_no_gpu_uses_none(tmp_path: Path) -> None:
    assert this_machine({"TRITON_SERVER_CPU_ONLY": "1"}, devices(tmp_path, "nvidia0")).gpus == ()


def test_gpus_have_their_uuids_where_the_library_tells_them(tmp_path: Path) -> None:
    folder = devices(tmp_path, "nvidia0", "nvidia1")
    facts = (GpuFacts("GPU-a", 1, (9, 0)), GpuFacts("GPU-b", 0, (8, 6)))
    machine = any_machine({"CUDA_VISIBLE_DEVICES": "1,0"}, folder, lambda: facts)
    assert (machine.gpus, machine.gpu_nodes, machine.gpu_capabilities) == (
        ("GPU-b", "GPU-a"),
        (0, 1),
        ((8, 6), (9, 0)),
    )
    fastest = {"CUDA_VISIBLE_DEVICES": "1,0", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert any_machine(fastest, folder, lambda: facts).gpus == ("1", "0")


def test_what_the_machine_cannot_do_for_the_operator_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ServerSettings(host_policies=(("a", "numa-node", "0"),), min_supported_compute_capability=7.5)
    unknown = dataclasses.replace(invented_machine(cores=4, gpus=2), binds_memory=False)
    monkeypatch.setattr("tis.supervisor.machine.this_machine", lambda: unknown)
    machine_under(settings)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "--host-policy",
        "--min-supported-compute-capability",
    ]
    caplog.clear()
    machine_under(ServerSettings())
    known = dataclasses.replace(unknown, binds_memory=True, gpu_capabilities=((7, 0), (9, 0)))
    monkeypatch.setattr("tis.supervisor.machine.this_machine", lambda: known)
    assert machine_under(settings).unsupported_gpus == {0}
    assert not caplog.records


def test_room_on_a_gpu_is_what_instances_and_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    instances = [InstanceSpec("m_0", "GPU", 1), InstanceSpec("m_1", "GPU", 1), InstanceSpec("m_2", "CPU", 0)]
    monkeypatch.setattr("tis.supervisor.machine.read_memory", lambda _names: (GpuMemory(25, 100), None))
    assert invented_machine(cores=1, gpus=2).rooms(instances) == (GpuRoom(0, 0.75), GpuRoom(2, None))


# ---- a worker's environment ----------------------------------------------------------------------------------------

MACHINE = Machine(8, ("3", "GPU-abc"))


@pytest.mark.parametrize(
    ("kind", "device", "visible"),
    [("GPU", 0, "3"), ("GPU", 1, "GPU-abc"), ("CPU", 0, ""), ("MODEL", 0, "3,GPU-abc")],
)
def test_an_instance_sees_its_gpu_and_no_other(kind: str, device: int, visible: str) -> None:
    environment = MACHINE.environment(InstanceSpec("m_0", kind, device), 2)
    assert environment["CUDA_VISIBLE_DEVICES"] == visible
    assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_on_a_machine_without_gpus_an_instance_that_places_itself_sees_none() -> None:
    assert Machine(2, ()).environment(InstanceSpec("m_0", "MODEL"), 1)["CUDA_VISIBLE_DEVICES"] == ""


def test_numerical_libraries_are_told_how_many_threads_to_start() -> None:
    environment = MACHINE.environment(InstanceSpec("m_0", "CPU"), 3)
    assert {environment[name] for name in THREADS} == {"3"}


def test_what_the_operator_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    environment = MACHINE.environment(InstanceSpec("m_0", "GPU"), 3)
    assert environment["OMP_NUM_THREADS"] == "7"
    assert environment["MKL_NUM_THREADS"] == "3"
    assert environment["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


@pytest.mark.parametrize(("cores", "instances", "threads"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (2, 5, 1), (4, 0, 4)])
def test_instances_share_the_cores(cores: int, instances: int, threads: int) -> None:
    assert Machine(cores, ()).threads_for(instances) == threads


def test_this_machine_has_the_cores_that_this_process_may_use() -> None:
    assert this_machine().allowed == os.sched_getaffinity(0)
    assert 1 <= this_machine().cores <= len(os.sched_getaffinity(0))


def test_a_backend_that_nobody_knows_or_that_is_not_installed_uses_no_gpu() -> None:
    assert not backend_uses_gpu("no_such_backend")
    assert not backend_uses_gpu("")


@pytest.mark.parametrize(("version", "uses"), [("2.13.0+cpu", False), ("2.13.0+cu130", True), ("2.13.0", True)])
def test_a_build_of_pytorch_for_cpus_uses_no_gpu(monkeypatch: pytest.MonkeyPatch, version: str, *, uses: bool) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _distribution: version)
    assert backend_uses_gpu("pytorch") is uses
