"""What the kernel has charged a process: read, subtracted, summed by role."""

import os

from tools.bench.accounts import (
    Account,
    Process,
    account_of,
    by_role,
    faults_in,
    models_in,
    parse,
    processes,
    rank,
    used,
)

STATUS = """\
Name:\ttis-worker
State:\tS (sleeping)
Seccomp:\t0
voluntary_ctxt_switches:\t41
nonvoluntary_ctxt_switches:\t7
"""


def test_a_threads_account_is_its_time_on_a_core_and_its_switches() -> None:
    assert parse("123456 99 12\n", STATUS) == Account(123456, 41, 7)


def test_page_faults_are_found_behind_a_name_with_spaces_and_parentheses() -> None:
    assert faults_in("12 (a ) b (c) S 1 12 12 0 -1 4194304 321 55 1 0 10 4\n") == 321


def test_what_was_used_between_two_looks_is_never_less_than_nothing() -> None:
    process = Process(1, "worker")
    before, after = {process: Account(100, 5, 5, 5)}, {process: Account(350, 4, 6, 9)}
    assert used(before, after) == {process: Account(250, 0, 1, 4)}


def test_a_process_that_is_gone_at_the_second_look_is_left_out() -> None:
    assert used({Process(1, "worker"): Account(1)}, {}) == {}


def test_the_processes_of_a_role_are_counted_together() -> None:
    accounts = {
        Process(1, "worker"): Account(10, 1, 2, 3),
        Process(2, "worker"): Account(20, 4, 5, 6),
        Process(3, "scheduler"): Account(7),
    }
    assert by_role(accounts) == {"worker": (2, Account(30, 5, 7, 9)), "scheduler": (1, Account(7))}


def test_the_log_tells_which_model_a_worker_serves() -> None:
    log = (
        "I1120 10:00:00 instance 'simple_0' of model 'simple' version 1 runs as process 41, peer 7\n"
        "I1120 10:00:00 the scheduler runs as process 12, peer 1\n"
        "I1120 10:00:01 instance 'a b_1' of model 'a b' version 12 runs as process 42, peer 8\n"
    )
    assert models_in(log) == {41: "simple", 42: "a b"}


def test_roles_are_listed_as_a_request_meets_them_and_unknown_ones_last() -> None:
    assert sorted(["python", "supervisor", "worker", "frontend", "scheduler"], key=rank) == [
        "frontend",
        "scheduler",
        "worker",
        "supervisor",
        "python",
    ]


def test_a_living_process_has_an_account_and_one_that_is_gone_has_none() -> None:
    assert account_of(os.getpid()).cpu_ns > 0
    assert account_of(os.getpid()).faults > 0
    assert account_of(0) == Account()


def test_the_first_process_is_the_supervisor() -> None:
    assert Process(os.getpid(), "supervisor") in processes(os.getpid())
