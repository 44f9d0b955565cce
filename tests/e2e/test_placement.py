"""Workers run where host policies put them, with every thread; what cannot be kept fails the load in Triton's words."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.native_models import write_identity
from tests.harness.observing import wait_pool_empty
from tests.harness.raw_http import Connection
from tests.harness.server import Server
from tests.harness.traffic import echo_call, is_echo
from tests.harness.waiting import eventually
from tis.pinned import core_list, may_bind_memory

CORES = sorted(os.sched_getaffinity(0))
FIRST, LAST, ALL = str(CORES[0]), str(CORES[-1]), core_list(CORES)


def group(policy: str = "", count: int = 1) -> str:
    named = f' host_policy: "{policy}"' if policy else ""
    return f"instance_group {{ kind: KIND_CPU count: {count}{named} }}\n"


def cores_of_threads(pid: int) -> set[str]:
    """The cores of every thread of a process, as the kernel lists them."""
    return {
        line.split()[1]
        for path in Path(f"/proc/{pid}/task").glob("*/status")
        for line in path.read_text().splitlines()
        if line.startswith("Cpus_allowed_list:")
    }


def cores_of(server: Server, model: str) -> set[str]:
    return cores_of_threads(server.worker_of(model).pid)


def test_workers_and_all_their_threads_run_on_the_cores_of_their_policy(
    new_server: StartServer, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for name, policy in (("first", "a"), ("last", "b"), ("kind", ""), ("nobody", "c")):
        identity("FP32", [-1]).write(models, name, extra=group(policy))
    policies = {"a": f"{FIRST}-{FIRST}", "b": LAST, "cpu": f"{FIRST},{LAST}-{int(LAST) + 70}", "gpu_0": "wrong"}
    server = new_server(
        models, *(f"--host-policy={name},cpu-cores={cores}" for name, cores in policies.items())
    ).start()
    server.wait_ready()
    assert cores_of(server, "first") == {FIRST}
    assert cores_of(server, "last") == {LAST}
    assert cores_of(server, "kind") == {core_list({CORES[0], CORES[-1]})}
    assert cores_of(server, "nobody") == {ALL}
    assert cores_of_threads(server.process.pid) == {ALL}


def test_a_pinned_worker_serves_as_any_other_and_is_pinned_again_after_it_died(
    new_server: StartServer, tmp_path: Path
) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=group())
    server = new_server(tmp_path / "models", f"--host-policy=cpu,cpu-cores={LAST}").start()
    server.wait_ready()
    before = server.worker_of("echo")
    with Connection(server) as connection:
        assert is_echo(connection.call(echo_call(1)), 1)
        server.kill(before)
        eventually(lambda: server.worker_of("echo").pid != before.pid, "another worker runs")
        server.wait_ready()
        eventually(lambda: is_echo(connection.call(echo_call(2)), 2), "it answers")
    assert cores_of(server, "echo") == {LAST}
    wait_pool_empty(server)


@pytest.mark.skipif(not may_bind_memory(), reason="this kernel does not let processes choose their memory's node")
@pytest.mark.skipif(not Path("/proc/self/numa_maps").exists(), reason="this kernel does not show where memory is")
def test_a_worker_takes_its_memory_from_the_node_of_its_policy(new_server: StartServer, tmp_path: Path) -> None:
    for name, policy in (("bound", "node"), ("free", "")):
        write_identity(tmp_path / "models", name, one=False, extra=group(policy))
    server = new_server(tmp_path / "models", "--host-policy=node,numa-node=0").start()
    server.wait_ready()
    maps = {name: Path(f"/proc/{server.worker_of(name).pid}/numa_maps").read_text() for name in ("bound", "free")}
    assert " bind:0 " in maps["bound"]
    assert " bind:" not in maps["free"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("cpu-cores=5000-5001", "Internal: Unable to set NUMA thread affinity: host policy 'cpu' asks for cpu-cores"),
        ("numa-node=77", "Internal: Unable to set NUMA memory policy: host policy 'cpu' asks for numa-node 77;"),
        ("numa-node=x", "Invalid argument: Parsing 'numa-node' value: Can't parse 'x' to integer"),
    ],
)
def test_a_policy_that_cannot_be_kept_fails_the_load(
    setting: str, words: str, new_server: StartServer, tmp_path: Path
) -> None:
    write_identity(tmp_path / "models", "m", one=False, extra=group())
    server = new_server(tmp_path / "models", f"--host-policy=cpu,{setting}").launch()
    assert server.wait_ended(60) == 1
    assert f"failed to load 'm' version 1: {words}" in server.log()


def test_instances_of_a_policy_share_its_cores_as_threads(new_server: StartServer, tmp_path: Path) -> None:
    write_identity(tmp_path / "models", "m", one=False, extra=group("all", count=len(CORES)))
    server = new_server(tmp_path / "models", f"--host-policy=all,cpu-cores={ALL}").start()
    server.wait_ready()
    environments = [Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0") for worker in server.workers()]
    assert len(environments) == len(CORES)
    assert all(b"OPENBLAS_NUM_THREADS=1" in environment for environment in environments)
    assert all(b"CUDA_VISIBLE_DEVICES=" in environment for environment in environments)


# ---- tis placement ---------------------------------------------------------------------------------------------------


def show(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-P", "-m", "tis", "placement", *(str(each) for each in arguments)]
    environment = {**os.environ, "TRITON_SERVER_CPU_ONLY": "1"}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_placement_shows_where_instances_would_run_on_another_machine(tmp_path: Path) -> None:
    spread = 'parameters { key: "tis.placement" value { string_value: "spread" } }\n'
    write_identity(tmp_path, "all", one=False)
    write_identity(tmp_path, "few", one=False, extra=spread + "instance_group { count: 3 }\n")
    write_identity(tmp_path, "host", one=False, extra=group("quick", count=2))
    done = show(tmp_path, "--gpus=4", "--cores=16", "--numa=2", "--host-policy=quick,cpu-cores=12-15")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "cores       0-15",
        "NUMA nodes  0: 0-7; 1: 8-15",
        "GPUs        0 (node 0), 1 (node 0), 2 (node 1), 3 (node 1)",
        "",
        "MODEL  VERSION  INSTANCE  KIND  GPU  CORES  MEMORY  THREADS",
        "all    1        all_0     GPU   0    0-7    any     4",
        "all    1        all_0     GPU   1    0-7    any     4",
        "all    1        all_0     GPU   2    8-15   any     4",
        "all    1        all_0     GPU   3    8-15   any     4",
        "few    1        few_0_0   GPU   0    0-7    any     4",
        "few    1        few_0_0   GPU   1    0-7    any     4",
        "few    1        few_0_0   GPU   2    8-15   any     8",
        "host   1        host_0_0  CPU   -    12-15  any     2",
        "host   1        host_0_1  CPU   -    12-15  any     2",
    ]


def test_placement_shows_this_machine_and_what_cannot_be_placed(tmp_path: Path) -> None:
    write_identity(tmp_path, "here", one=False, extra=group())
    write_identity(
        tmp_path,
        "there",
        one=False,
        extra="instance_group [ { kind: KIND_GPU gpus: 0 }, { kind: KIND_GPU gpus: 3 } ]\n",
    )
    done = show(tmp_path, "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(row["instance"], row["kind"], row["cores"], row["gpu"]) for row in said["instances"]] == [
        ("here_0_0", "CPU", "", None)
    ]
    assert said["errors"][0].startswith("there: instance group there_0 of model there has kind KIND_GPU but no GPUs")
    done = show(tmp_path, "--gpus=2")
    assert (
        "there_1 of model there specifies invalid or unsupported gpu id 3; GPUs of this server are: 0, 1" in done.stderr
    )


@pytest.mark.parametrize("flags", [["--gpus=-1"], ["--cores=0"], ["--numa=x"], ["--host-policy=p"], ["no_such_folder"]])
def test_placement_refuses_what_is_no_machine(flags: list[str], tmp_path: Path) -> None:
    done = show(tmp_path, *flags)
    assert done.returncode != 0
    assert "tis placement: " in done.stderr
    assert "Traceback" not in done.stderr
