"""Where instances run, on invented machines: 1 to 16 GPUs, 1 to 8 NUMA nodes, 1 to 256 cores, with policies and without."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.model_spec import InstanceSpec
from tis.errors import Code, TisError
from tis.nvml import GpuMemory
from tis.pinned import core_list
from tis.settings import ServerSettings
from tis.supervisor.machine import Machine, invented_machine
from tis.supervisor.placement import check_gpu_limits

POLICIES = ("cpu", "model", "gpu_0", "gpu_1", "fast", "")


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Any machine, of whose cores the server may use some, for some of the time."""
    cores = draw(st.integers(1, 256))
    nodes = draw(st.integers(1, min(8, cores)))
    machine = invented_machine(cores=cores, nodes=nodes, gpus=draw(st.integers(0, 16)))
    allowed = draw(st.sets(st.integers(0, cores - 1), min_size=1)) if draw(st.booleans()) else set(range(cores))
    quota = draw(st.integers(1, len(allowed)))
    machine = dataclasses.replace(machine, core_ids=frozenset(allowed), cores=quota, binds_memory=draw(st.booleans()))
    policies: list[tuple[str, str, str]] = []
    for name in POLICIES[:-1]:
        if draw(st.booleans()):
            policies.append((name, "numa-node", str(draw(st.integers(0, nodes - 1)))))
        if draw(st.booleans()):
            wanted = draw(st.sets(st.integers(0, 300))) | {draw(st.sampled_from(sorted(allowed)))}
            policies.append((name, "cpu-cores", core_list(wanted)))
    return machine.under(ServerSettings(host_policies=tuple(policies)))


@st.composite
def placed_on(draw: st.DrawFn, machine: Machine) -> list[InstanceSpec]:
    """Instances that fit a machine's GPUs."""
    kinds = ["CPU", "MODEL", "GPU"] if machine.gpus else ["CPU", "MODEL"]
    made: list[InstanceSpec] = []
    for number in range(draw(st.integers(0, 40))):
        kind = draw(st.sampled_from(kinds))
        gpu = draw(st.integers(0, len(machine.gpus) - 1)) if kind == "GPU" else 0
        made.append(InstanceSpec(f"m_{number}", kind, gpu, host_policy=draw(st.sampled_from(POLICIES))))
    return made


@given(st.data())
def test_every_instance_is_placed_once_on_allowed_cores_and_with_its_gpu_only(data: st.DataObject) -> None:
    machine = data.draw(machines())
    instances = data.draw(placed_on(machine))
    placements = machine.place(instances)
    assert [each.instance for each in placements] == instances
    for each in placements:
        assert each.cores is None or (each.cores and each.cores <= machine.allowed)
        assert 1 <= each.threads <= max(machine.cores, 1)
        assert each.cores is None or each.threads <= len(each.cores)
        assert each.node is None or (machine.binds_memory and each.node in machine.nodes)
        visible = machine.environment(each.instance, each.threads)["CUDA_VISIBLE_DEVICES"]
        assert each.gpus == visible
        if each.instance.kind == "GPU":
            assert visible == machine.gpus[each.instance.device_id]
    assert machine.place(instances) == placements


@given(st.data())
def test_instances_on_cores_have_no_more_threads_than_cores_unless_there_are_more_of_them(data: st.DataObject) -> None:
    machine = data.draw(machines())
    instances = [each for each in data.draw(placed_on(machine)) if each.kind != "GPU"]
    placements = machine.place(instances)
    more_than_one = sum(each.threads for each in placements if each.threads > 1)
    assert more_than_one <= len(machine.allowed)


@given(st.integers(1, 256), st.integers(1, 64))
def test_without_policies_cpu_instances_share_all_cores_equally(cores: int, count: int) -> None:
    placements = invented_machine(cores=cores).place([InstanceSpec(f"m_{n}", "CPU") for n in range(count)])
    assert {each.threads for each in placements} == {max(1, cores // count)}
    assert {each.cores for each in placements} == {None}


def test_the_cores_of_a_policy_are_divided_by_the_instances_on_them() -> None:
    settings = ServerSettings(host_policies=(("fast", "cpu-cores", "0-5"), ("cpu", "cpu-cores", "8-15")))
    instances = [InstanceSpec(f"m_{n}", "CPU", host_policy="fast" if n < 3 else "") for n in range(5)]
    placements = invented_machine(cores=16).under(settings).place(instances)
    assert [(core_list(each.cores or ()), each.threads) for each in placements] == [("0-5", 2)] * 3 + [("8-15", 4)] * 2


def test_a_policy_that_nobody_defined_asks_for_nothing() -> None:
    (placed,) = invented_machine(cores=4).place([InstanceSpec("m_0", "CPU", host_policy="nobody")])
    assert (placed.cores, placed.node, placed.threads) == (None, None, 4)


@pytest.mark.parametrize(
    ("instance", "policy"),
    [
        (InstanceSpec("m_0", "CPU"), "cpu"),
        (InstanceSpec("m_0", "MODEL"), "model"),
        (InstanceSpec("m_0", "GPU", 1), "gpu_1"),
        (InstanceSpec("m_0", "GPU", 1, host_policy="mine"), "mine"),
    ],
)
def test_policies_have_tritons_names_where_the_group_names_none(instance: InstanceSpec, policy: str) -> None:
    settings = ServerSettings(host_policies=((policy, "cpu-cores", "2-2"), ("other", "cpu-cores", "0-0")))
    (placed,) = invented_machine(cores=4, gpus=2).under(settings).place([instance])
    assert placed.cores == frozenset({2})


def test_a_node_without_cores_named_means_the_cores_of_that_node() -> None:
    machine = invented_machine(cores=8, nodes=2).under(ServerSettings(host_policies=(("cpu", "numa-node", "1"),)))
    (placed,) = machine.place([InstanceSpec("m_0", "CPU")])
    assert (placed.cores, placed.node, placed.threads) == (frozenset({4, 5, 6, 7}), 1, 4)
    (unbound,) = dataclasses.replace(machine, binds_memory=False).place([InstanceSpec("m_0", "CPU")])
    assert (unbound.cores, unbound.node) == (frozenset({4, 5, 6, 7}), None)


def test_a_gpu_instance_keeps_to_the_node_of_its_gpu_only_where_there_are_several() -> None:
    instances = [InstanceSpec("m_0", "GPU", number) for number in range(4)]
    one = invented_machine(cores=16, nodes=1, gpus=4).place(instances)
    assert {each.cores for each in one} == {None}
    two = invented_machine(cores=16, nodes=2, gpus=4).place([*instances, InstanceSpec("m_0", "CPU")])
    assert [core_list(each.cores or ()) for each in two] == ["0-7", "0-7", "8-15", "8-15", ""]
    assert [each.threads for each in two] == [4, 4, 4, 4, 16]
    assert {each.node for each in two} == {None}


def test_a_machine_of_several_nodes_of_which_one_is_allowed_is_like_one_of_one_node() -> None:
    machine = dataclasses.replace(invented_machine(cores=16, nodes=2, gpus=2), core_ids=frozenset(range(8)), cores=8)
    assert {each.cores for each in machine.place([InstanceSpec("m_0", "GPU", gpu) for gpu in (0, 1)])} == {None}


def test_cores_that_the_server_may_not_use_are_left_out_of_a_policy() -> None:
    machine = invented_machine(cores=4).under(ServerSettings(host_policies=(("cpu", "cpu-cores", "2-70"),)))
    assert machine.place([InstanceSpec("m_0", "CPU")])[0].cores == frozenset({2, 3})


@pytest.mark.parametrize(
    ("setting", "value", "code", "words"),
    [
        (
            "cpu-cores",
            "64-70",
            Code.INTERNAL,
            "Unable to set NUMA thread affinity: host policy 'cpu' asks for cpu-cores 64-70; this server may run on 0-3",
        ),
        (
            "numa-node",
            "7",
            Code.INTERNAL,
            "Unable to set NUMA memory policy: host policy 'cpu' asks for numa-node 7; the nodes of this machine are 0",
        ),
        ("numa-node", "x", Code.INVALID_ARG, "Parsing 'numa-node' value: Can't parse 'x' to integer"),
        ("cpu-cores", "a-b", Code.INVALID_ARG, "Parsing 'cpu-cores' value: Can't parse 'a' to integer"),
        ("cpu-cores", "0-", Code.INVALID_ARG, "Parsing 'cpu-cores' value: Can't parse '' to integer"),
        ("cpu-cores", "0-1,", Code.INVALID_ARG, "Parsing 'cpu-cores' value: Can't parse '' to integer"),
        ("cpu-cores", "0-9999999", Code.INVALID_ARG, "Parsing 'cpu-cores' value: Can't parse '9999999' to integer"),
        (
            "cpu-cores",
            "0-0,3-1",
            Code.INVALID_ARG,
            "host policy setting 'cpu-cores' format is '<lower_cpu_core_id>-<upper_cpu_core_id>'. Got 3-1",
        ),
    ],
)
def test_a_policy_that_cannot_be_kept_fails_the_instances_that_bear_it(
    setting: str, value: str, code: Code, words: str
) -> None:
    machine = invented_machine(cores=4, gpus=1).under(ServerSettings(host_policies=(("cpu", setting, value),)))
    assert machine.place([InstanceSpec("m_0", "GPU")])
    with pytest.raises(TisError) as raised:
        machine.place([InstanceSpec("m_0", "CPU")])
    assert (raised.value.code, raised.value.message) == (code, words)


def test_of_settings_of_a_policy_the_last_one_counts() -> None:
    settings = ServerSettings(host_policies=(("cpu", "cpu-cores", "1-1"), ("cpu", "cpu-cores", "0-0,2")))
    (placed,) = invented_machine(cores=4).under(settings).place([InstanceSpec("m_0", "CPU")])
    assert placed.cores == frozenset({0, 2})


# ---- --model-load-gpu-limit ----------------------------------------------------------------------------------------

LIMITED = invented_machine(cores=4, gpus=2).under(ServerSettings(model_load_gpu_limits=((0, 0.9), (0, 0.5), (7, 0.1))))


def check(*instances: InstanceSpec, used: int | None) -> Counter[str]:
    """What NVML was asked for."""
    asked: Counter[str] = Counter()

    def read(names: object) -> list[GpuMemory | None]:
        assert isinstance(names, list)
        asked.update(names)
        return [None if used is None else GpuMemory(used, 100) for _ in names]

    LIMITED.check_room(LIMITED.place(instances), read)
    return asked


def test_a_load_is_refused_where_more_of_the_gpu_is_in_use_than_its_limit() -> None:
    assert check(InstanceSpec("m_0", "GPU", 0), used=50) == {"0": 1}
    with pytest.raises(TisError) as raised:
        check(InstanceSpec("m_0", "GPU", 1), InstanceSpec("m_0", "GPU", 0), used=51)
    assert raised.value.code is Code.UNAVAILABLE
    assert raised.value.message == (
        "memory limit set for GPU 0 has exceeded, model loading is rejected. 51 of 100 bytes are in use; the limit is 0.5 of "
        "them"
    )


def test_other_gpus_and_cpu_instances_are_loaded_whatever_is_in_use() -> None:
    check(InstanceSpec("m_0", "GPU", 1), used=100)
    assert not check(InstanceSpec("m_0", "CPU"), used=100)
    check_gpu_limits(LIMITED.place([InstanceSpec("m_0", "GPU", 1)]), {}, {})


def test_a_limit_that_cannot_be_kept_refuses_the_load() -> None:
    with pytest.raises(TisError, match="memory in use is not known"):
        check(InstanceSpec("m_0", "GPU", 0), used=None)
