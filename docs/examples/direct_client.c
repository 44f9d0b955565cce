/* A client of docs/zeromq.md in C: asks the model `simple` for a sum through memory that the server grants.
 *
 *     cc -Wall -O2 -o direct_client direct_client.c -lzmq -lmsgpackc
 *     ./direct_client ipc:///run/tis/direct
 *
 * Debian: libzmq3-dev and libmsgpack-dev; newer ones have libmsgpack-c-dev and -lmsgpack-c. A message is one frame of
 * MessagePack; the tensors lie in the region.
 */
#include <fcntl.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { COUNT = 16, BYTES = COUNT * 4, REGION_BYTES = 4096 };

static msgpack_sbuffer packed;
static msgpack_packer packer;

static void text(const char *value) {
    msgpack_pack_str(&packer, strlen(value));
    msgpack_pack_str_body(&packer, value, strlen(value));
}

static void text_key(const char *key, const char *value) { text(key), text(value); }
static void number_key(const char *key, uint64_t value) { text(key), msgpack_pack_uint64(&packer, value); }

/* Begins a message of so many keys, `type` among them. */
static void begin(const char *type, size_t keys) {
    msgpack_sbuffer_clear(&packed);
    msgpack_pack_map(&packer, keys);
    text_key("type", type);
}

static const msgpack_object *find(const msgpack_object *map, const char *key) {
    for (uint32_t at = 0; map->type == MSGPACK_OBJECT_MAP && at < map->via.map.size; at++) {
        const msgpack_object *name = &map->via.map.ptr[at].key;
        if (name->type == MSGPACK_OBJECT_STR && name->via.str.size == strlen(key) &&
            !memcmp(name->via.str.ptr, key, name->via.str.size))
            return &map->via.map.ptr[at].val;
    }
    fprintf(stderr, "the answer has no '%s'\n", key);
    exit(1);
}

static char *string(const msgpack_object *map, const char *key) {
    const msgpack_object *found = find(map, key);
    return found->type == MSGPACK_OBJECT_STR ? strndup(found->via.str.ptr, found->via.str.size) : strdup("");
}

/* Sends what has been packed and waits for the answer, which must be of this type. */
static msgpack_object ask(void *socket, msgpack_unpacked *answer, const char *expected) {
    zmq_msg_t head;
    size_t at = 0;
    zmq_msg_init(&head);
    if (zmq_send(socket, packed.data, packed.size, 0) < 0 || zmq_msg_recv(&head, socket, 0) < 0) {
        fprintf(stderr, "no answer: %s\n", zmq_strerror(zmq_errno()));
        exit(1);
    }
    if (msgpack_unpack_next(answer, zmq_msg_data(&head), zmq_msg_size(&head), &at) != MSGPACK_UNPACK_SUCCESS) {
        fprintf(stderr, "the answer is no MessagePack\n");
        exit(1);
    }
    zmq_msg_close(&head);
    char *type = string(&answer->data, "type");
    if (strcmp(type, expected)) {
        fprintf(stderr, "%s: %s\n", type, strcmp(type, "error") ? "not expected" : string(&answer->data, "text"));
        exit(1);
    }
    free(type);
    return answer->data;
}

static void tensor(const char *name, const char *region, uint64_t offset) {
    msgpack_pack_map(&packer, 6);
    text_key("name", name), text_key("datatype", "INT32");
    text("shape"), msgpack_pack_array(&packer, 2), msgpack_pack_int(&packer, 1), msgpack_pack_int(&packer, COUNT);
    text_key("region", region), number_key("offset", offset), number_key("size", BYTES);
}

int main(int count, char **words) {
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    int none = 0, deadline_ms = 10000;
    msgpack_unpacked answer;
    if (count != 2 || zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) ||
        zmq_setsockopt(socket, ZMQ_RCVTIMEO, &deadline_ms, sizeof deadline_ms) || zmq_connect(socket, words[1])) {
        fprintf(stderr, "usage: %s ADDRESS\n", words[0]);
        return 1;
    }
    msgpack_unpacked_init(&answer);
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);

    begin("hello", 2), number_key("version", 1);
    ask(socket, &answer, "welcome");

    begin("grant", 3), number_key("id", 1), number_key("size", REGION_BYTES);
    msgpack_object granted = ask(socket, &answer, "granted");
    char *region = string(&granted, "region"), *path = string(&granted, "path");
    struct stat about;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) || about.st_ino != find(&granted, "inode")->via.u64) {
        perror(path);
        return 1;
    }
    int32_t *memory = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (int at = 0; at < COUNT; at++)
        memory[at] = at, memory[COUNT + at] = 100;

    begin("infer", 5), number_key("id", 2), text_key("model", "simple");
    text("inputs"), msgpack_pack_array(&packer, 2);
    tensor("INPUT0", region, 0), tensor("INPUT1", region, BYTES);
    text("outputs"), msgpack_pack_array(&packer, 1), msgpack_pack_map(&packer, 4);
    text_key("name", "OUTPUT0"), text_key("region", region);
    number_key("offset", 2 * BYTES), number_key("size", BYTES);
    ask(socket, &answer, "reply");
    for (int at = 0; at < COUNT; at++)
        printf("%d%c", memory[2 * COUNT + at], at + 1 < COUNT ? ' ' : '\n');

    munmap(memory, REGION_BYTES);
    free(region), free(path);
    msgpack_unpacked_destroy(&answer);
    msgpack_sbuffer_destroy(&packed);
    zmq_close(socket), zmq_ctx_term(context);
    return 0;
}
