"""Flags of the server as a whole: its name, its end, its log, and what only this server has."""

from tis.cli.flag import Flag, FlagGroup, Help, Store
from tis.cli.values import BOOLEAN, BYTES, COUNT, LEVEL, SECONDS, TEXT, between, one_of
from tis.settings import LOG_FORMATS

GENERAL = FlagGroup("", (Flag(name="help", action=Help(), help="Show this text and exit."),))

SERVER = FlagGroup(
    "Server",
    (
        Flag(
            name="id",
            action=Store("server_id", TEXT),
            default="triton",
            help="The name that the server gives in its metadata.",
        ),
        Flag(
            name="exit-timeout-secs",
            action=Store("exit_timeout_s", SECONDS),
            default="30",
            help="How many seconds a stopping server waits for requests that are still running. After that it exits all "
            "the same, with an error.",
        ),
    ),
)

LOGGING = FlagGroup(
    "Logging",
    (
        Flag(
            name="log-verbose",
            action=Store("log_verbose", LEVEL),
            default="0",
            help="How much detail to log: 0 for none, higher levels for more.",
        ),
        Flag(name="log-info", action=Store("log_info", BOOLEAN), default="true", help="Log what happens."),
        Flag(name="log-warning", action=Store("log_warning", BOOLEAN), default="true", help="Log warnings."),
        Flag(name="log-error", action=Store("log_error", BOOLEAN), default="true", help="Log errors."),
        Flag(
            name="log-format",
            action=Store("log_format", one_of(*LOG_FORMATS, fold=False)),
            default="default",
            help="How a line begins: `default` for `LMMDD hh:mm:ss.uuuuuu`, `ISO8601` for `YYYY-MM-DDThh:mm:ssZ L`, where "
            "L is the severity; `json`, which only this server has, makes each line a JSON object. Times are in UTC.",
        ),
        Flag(
            name="log-file",
            action=Store("log_file", TEXT),
            help="Append the log to this file instead of writing it to the console.",
        ),
    ),
)

OWN = FlagGroup(
    "Only in this server",
    (
        Flag(
            name="stall-timeout-secs",
            action=Store("stall_timeout_s", SECONDS),
            default="60",
            in_triton_2_51=False,
            help="How many seconds a client may stop in the middle of an inference request, or of taking its response, "
            "before what it holds is taken back; 0 for any number. Less than 16 KiB in that time is no progress.",
        ),
        Flag(
            name="access-log",
            action=Store("access_log", TEXT),
            in_triton_2_51=False,
            help="Append a line for each request to this file, or to the log for `-`: time, client, call, status, model, "
            "bytes, and how long it waited and was computed. As JSON objects where the log is. SIGHUP opens it anew.",
        ),
        Flag(
            name="frontends",
            action=Store("frontends", COUNT),
            default="0",
            in_triton_2_51=False,
            help="How many processes take HTTP and gRPC requests. 0 chooses by the number of cores: one for every two, "
            "at least one and at most four.",
        ),
        Flag(
            name="model-load-timeout-secs",
            action=Store("model_load_timeout_s", SECONDS),
            default="0",
            in_triton_2_51=False,
            help="How many seconds an instance of a model may take to load, warm-up included, before the load has failed "
            "and its process is killed; 0 for any number. A model's parameter tis.load_limit_s goes before it.",
        ),
        Flag(
            name="pool-byte-size",
            action=Store("pool_byte_size", BYTES),
            default="0",
            in_triton_2_51=False,
            help="The size of the shared memory that carries tensors between processes. 0 chooses by the machine's "
            "memory.",
        ),
        Flag(
            name="runtime-directory",
            action=Store("runtime_directory", TEXT),
            in_triton_2_51=False,
            help="Where the server keeps the sockets between its processes. If empty, the server chooses.",
        ),
        Flag(
            name="spin-us",
            action=Store("spin_us", between(0, 1_000_000)),
            default="300, or 0 where a process may run on one core only",
            in_triton_2_51=False,
            help="How many microseconds at most the scheduler and the workers look again for something to do before they "
            "sleep. They do so only while requests follow each other as quickly, and give the core away between two looks. "
            "0 for never: the processors rest, and a single client waits longer.",
        ),
        Flag(
            name="zmq-address",
            action=Store("zmq_address", TEXT),
            in_triton_2_51=False,
            help="Where programs on this machine reach the server over ZeroMQ (docs/zeromq.md): ipc:///<path>, a socket for "
            "the server's user and its group, or tcp://127.0.0.1:<port>. With keys also any other address. If empty, "
            "nowhere.",
        ),
        Flag(
            name="zmq-client-keys",
            action=Store("zmq_client_keys", TEXT),
            in_triton_2_51=False,
            help="The folder of the public keys (*.key) of those who may use a tcp:// address of --zmq-address, as "
            "zmq.auth.create_certificates makes them. One that is put there or taken away counts for the next connection.",
        ),
        Flag(
            name="zmq-server-secret-key-file",
            action=Store("zmq_server_secret_key_file", TEXT),
            in_triton_2_51=False,
            help="The file (*.key_secret) with the server's own key, with which all that goes over a tcp:// address of "
            "--zmq-address is encrypted (CURVE). It takes --zmq-client-keys, too.",
        ),
    ),
)
