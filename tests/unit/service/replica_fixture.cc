// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/service/replica_fixture.h"

#include "engine/engine_log.h"

#include <openssl/sha.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/wal/wal_format.h"
#include "polarys/v1/admin.pb-c.h"

namespace replica_test {

namespace fs = std::filesystem;

std::atomic<Primary *> reachable{nullptr};

namespace {

ProtobufCBinaryData Binary(const std::string &bytes)
{
    return {bytes.size(), (uint8_t *)(uintptr_t)bytes.data()};
}

std::string TextOf(const ProtobufCBinaryData &bytes)
{
    return {reinterpret_cast<const char *>(bytes.data), bytes.len};
}

/* As it would come over the wire. */
polarys_code Deliver(const ProtobufCMessage *message, proto_arena *arena, void **out,
                     polarys_error *err)
{
    std::string packed(protobuf_c_message_get_packed_size(message), '\0');
    protobuf_c_message_pack(message, reinterpret_cast<uint8_t *>(packed.data()));
    *out = proto_arena_unpack(arena, message->descriptor, slice_make(packed.data(), packed.size()),
                              err);
    return *out != nullptr ? POLARYS_OK : err->code;
}

struct FakePeer {
    peer base;
    Primary *primary;
    int breaks;                /* of the primary when it was opened */
    bool is_cancelled = false; /* under the primary's mutex */
};

struct Piece {
    uint64_t segment_id;
    uint64_t offset;
    std::string bytes;
    bool is_continued;
};

struct FakeStream {
    peer_stream base;
    FakePeer *from;
    bool is_tail;
    /* A tail. */
    polarys_log_position at = {};
    bool has_said_end = false;
    /* A copy. */
    size_t file = 0;
    size_t offset = 0;
    int message_count = 0;
    bool has_manifest = false;
    bool is_over = false;
};

struct Header {
    Polarys__V1__ResponseHeader message;
    std::string store_id, history_id;

    explicit Header(Primary *primary)
    {
        polarys__v1__response_header__init(&message);
        if (primary->db == nullptr) {
            return;
        }
        store_id.assign(reinterpret_cast<const char *>(polarys_db_store_id(primary->db)), 16);
        history_id.assign(reinterpret_cast<const char *>(polarys_db_history_id(primary->db)), 16);
        message.store_id = Binary(store_id);
        message.history_id = Binary(history_id);
        message.term =
            primary->header_term != 0 ? primary->header_term : polarys_db_term(primary->db);
    }
};

polarys_code Gone(FakePeer *from, polarys_error *err)
{
    if (from->is_cancelled) {
        return polarys_fail(err, POLARYS_CANCELLED, "cancelled");
    }
    return reachable == nullptr || from->breaks != from->primary->breaks
               ? polarys_fail(err, POLARYS_NO_PRIMARY, "nobody answers")
               : POLARYS_OK;
}

/* As a primary does it: what is sealed is fenced. */
polarys_code SealTermAnswer(Primary *primary, const Polarys__V1__SealTermRequest *asked,
                            Polarys__V1__ResponseHeader *header, proto_arena *arena,
                            void **response, polarys_error *err)
{
    uint64_t term = polarys_db_term(primary->db);
    uint64_t highest = primary->sealed_term > term ? primary->sealed_term : term;
    if (asked->term != 0 && asked->term <= highest) {
        (void)polarys_fail(err, POLARYS_NOT_PRIMARY, "seen already");
        polarys_error_detail_set(err, "term", "%llu", (unsigned long long)highest);
        return POLARYS_NOT_PRIMARY;
    }
    Polarys__V1__SealTermResponse answer = POLARYS__V1__SEAL_TERM_RESPONSE__INIT;
    Polarys__V1__LogPosition end = POLARYS__V1__LOG_POSITION__INIT;
    polarys_log_position at;
    primary->sealed_term = asked->term > highest ? asked->term : primary->sealed_term;
    polarys_log_durable_position(primary->db, &at);
    end.segment_id = at.segment_id;
    end.offset = at.offset;
    end.version = at.version;
    end.tag.data = at.tag;
    end.tag.len = sizeof(at.tag);
    answer.header = header;
    answer.highest_term = asked->term > highest ? asked->term : highest;
    answer.end = &end;
    return Deliver(&answer.base, arena, response, err);
}

polarys_code Unary(peer *base, const peer_call *call, proto_arena *arena, void **response,
                   polarys_error *err)
{
    auto *from = reinterpret_cast<FakePeer *>(base);
    Primary *primary = from->primary;
    std::lock_guard<std::mutex> lock(primary->mutex);
    std::string method = call->method;
    *response = nullptr;
    primary->calls.push_back(method.substr(method.rfind('/') + 1));
    primary->changed.notify_all();
    polarys_code code = Gone(from, err);
    if (code == POLARYS_OK && primary->refuse) {
        code = primary->refuse(primary->calls.back(), err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    Header header(primary);
    if (primary->calls.back() == "Handshake") {
        Polarys__V1__HandshakeResponse answer = POLARYS__V1__HANDSHAKE_RESPONSE__INIT;
        std::string keyring = FileRead(primary->data_dir + "/keyring");
        answer.header = &header.message;
        answer.keyring = Binary(keyring);
        std::string other = "127.0.0.1:2";
        if (!primary->is_primary) {
            answer.primary_address = Binary(other);
        }
        return Deliver(&answer.base, arena, response, err);
    }
    if (primary->calls.back() == "CreateSlot") {
        Polarys__V1__CreateSlotResponse answer = POLARYS__V1__CREATE_SLOT_RESPONSE__INIT;
        answer.header = &header.message;
        return Deliver(&answer.base, arena, response, err);
    }
    if (primary->calls.back() == "SealTerm") {
        const auto *asked = reinterpret_cast<const Polarys__V1__SealTermRequest *>(call->request);
        return SealTermAnswer(primary, asked, &header.message, arena, response, err);
    }
    if (primary->calls.back() == "GetStatus") {
        Polarys__V1__GetStatusResponse answer = POLARYS__V1__GET_STATUS_RESPONSE__INIT;
        answer.header = &header.message;
        answer.role = primary->is_primary ? POLARYS__V1__NODE_ROLE__NODE_ROLE_PRIMARY
                                          : POLARYS__V1__NODE_ROLE__NODE_ROLE_REPLICA;
        answer.version = polarys_db_version(primary->db);
        return Deliver(&answer.base, arena, response, err);
    }
    return polarys_fail(err, POLARYS_UNIMPLEMENTED, "the fake has no %s", call->method);
}

polarys_code StreamOpen(peer *base, const peer_call *call, peer_stream **out, polarys_error *err)
{
    auto *from = reinterpret_cast<FakePeer *>(base);
    Primary *primary = from->primary;
    std::lock_guard<std::mutex> lock(primary->mutex);
    std::string method = call->method;
    *out = nullptr;
    primary->calls.push_back(method.substr(method.rfind('/') + 1));
    polarys_code code = Gone(from, err);
    if (code == POLARYS_OK && primary->refuse) {
        code = primary->refuse(primary->calls.back(), err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    auto *stream = new FakeStream{{base->ops}, from, primary->calls.back() == "TailLog"};
    if (stream->is_tail) {
        const auto *request = reinterpret_cast<const Polarys__V1__TailLogRequest *>(call->request);
        const Polarys__V1__LogPosition *position = request->start->node->position;
        stream->at.segment_id = position->segment_id;
        stream->at.offset = position->offset;
        primary->tail_count++;
    } else {
        const auto *request =
            reinterpret_cast<const Polarys__V1__BootstrapRequest *>(call->request);
        stream->offset = request->offset;
        while (request->copy_id.len != 0 && stream->file < primary->copy.size() &&
               primary->copy[stream->file].path != TextOf(request->file)) {
            stream->file++;
        }
        primary->copy_requests.push_back(TextOf(request->file) + "@" +
                                         std::to_string(request->offset));
    }
    primary->changed.notify_all();
    *out = &stream->base;
    return POLARYS_OK;
}

polarys_code StreamSend(peer_stream *base, const ProtobufCMessage *message, polarys_error *err)
{
    auto *stream = reinterpret_cast<FakeStream *>(base);
    Primary *primary = stream->from->primary;
    const auto *request = reinterpret_cast<const Polarys__V1__TailLogRequest *>(message);
    std::lock_guard<std::mutex> lock(primary->mutex);
    if (Gone(stream->from, err) != POLARYS_OK) {
        return POLARYS_NO_PRIMARY;
    }
    primary->acks.push_back({request->ack->durable->version, request->ack->received_version,
                             request->ack->applied_version});
    primary->changed.notify_all();
    return POLARYS_OK;
}

void FrameAdd(std::vector<Piece> *pieces, const Primary &primary, uint64_t segment_id,
              uint64_t offset, std::string frame)
{
    if (primary.tamper) {
        primary.tamper(&frame);
    }
    for (size_t at = 0; at < frame.size(); at += primary.piece_bytes_max) {
        size_t left = frame.size() - at;
        bool is_continued = left > primary.piece_bytes_max;
        pieces->push_back({segment_id, offset,
                           frame.substr(at, is_continued ? primary.piece_bytes_max : left),
                           is_continued});
    }
}

/* The next pieces from the files of the log. */
std::vector<Piece> PiecesNext(FakeStream *stream)
{
    Primary *primary = stream->from->primary;
    std::vector<Piece> pieces;
    polarys_log_position end;
    polarys_log_position_get(primary->db, &end);
    while (pieces.size() < static_cast<size_t>(primary->pieces_per_message) &&
           (stream->at.segment_id < end.segment_id || stream->at.offset < end.offset)) {
        char name[64];
        snprintf(name, sizeof(name), "%06llu.wal",
                 static_cast<unsigned long long>(stream->at.segment_id));
        char real[VFS_NAME_MAX];
        wal_segment_name(stream->at.segment_id, real);
        std::string bytes = FileRead(primary->data_dir + "/wal/" + real);
        uint64_t offset = stream->at.offset;
        wal_frame_header header;
        if (offset == 0 && !bytes.empty()) {
            pieces.push_back(
                {stream->at.segment_id, 0, bytes.substr(0, WAL_SEGMENT_HEADER_SIZE), false});
            stream->at.offset = WAL_SEGMENT_HEADER_SIZE;
        } else if (offset + WAL_FRAME_HEADER_SIZE <= bytes.size() &&
                   wal_frame_header_take(reinterpret_cast<const uint8_t *>(&bytes[offset]),
                                         stream->at.segment_id, &header)) {
            FrameAdd(&pieces, *primary, stream->at.segment_id, offset,
                     bytes.substr(offset, header.payload_size + WAL_FRAME_OVERHEAD));
            stream->at.offset += wal_frame_stored_size(header.payload_size);
        } else {
            stream->at.segment_id++;
            stream->at.offset = 0;
        }
    }
    return pieces;
}

polarys_code TailReceive(FakeStream *stream, std::unique_lock<std::mutex> *lock,
                         uint32_t timeout_ms, proto_arena *arena, peer_received *received,
                         polarys_error *err)
{
    Primary *primary = stream->from->primary;
    std::vector<Piece> pieces;
    for (;;) {
        polarys_code code = Gone(stream->from, err);
        if (code != POLARYS_OK) {
            return code;
        }
        pieces = PiecesNext(stream);
        if (!pieces.empty() || !stream->has_said_end) {
            break;
        }
        if (timeout_ms == 0 ||
            primary->changed.wait_for(*lock, std::chrono::milliseconds(timeout_ms)) ==
                std::cv_status::timeout) {
            return POLARYS_OK;
        }
    }
    stream->has_said_end = pieces.empty();
    Polarys__V1__TailLogResponse answer = POLARYS__V1__TAIL_LOG_RESPONSE__INIT;
    Polarys__V1__LogPosition end = POLARYS__V1__LOG_POSITION__INIT;
    std::vector<Polarys__V1__LogPiece> messages(pieces.size());
    std::vector<Polarys__V1__LogPiece *> pointers;
    for (size_t i = 0; i < pieces.size(); i++) {
        polarys__v1__log_piece__init(&messages[i]);
        messages[i].segment_id = pieces[i].segment_id;
        messages[i].offset = pieces[i].offset;
        messages[i].data = Binary(pieces[i].bytes);
        messages[i].is_continued = pieces[i].is_continued;
        pointers.push_back(&messages[i]);
    }
    answer.n_pieces = pointers.size();
    answer.pieces = pointers.data();
    end.version = polarys_db_version(primary->db);
    answer.end = &end;
    answer.stable_version = primary->stable_version;
    received->event = PEER_MESSAGE;
    return Deliver(&answer.base, arena, &received->message, err);
}

struct Manifest {
    Polarys__V1__CopyManifest message;
    std::vector<Polarys__V1__CopyFile> files;
    std::vector<Polarys__V1__CopyFile *> pointers;
    std::vector<std::string> digests;

    explicit Manifest(const Primary &primary)
    {
        polarys__v1__copy_manifest__init(&message);
        files.resize(primary.copy.size());
        digests.resize(primary.copy.size());
        for (size_t i = 0; i < files.size(); i++) {
            const CopyPart &part = primary.copy[i];
            unsigned char digest[SHA256_DIGEST_LENGTH];
            SHA256(reinterpret_cast<const unsigned char *>(part.bytes.data()), part.bytes.size(),
                   digest);
            digests[i].assign(reinterpret_cast<char *>(digest), sizeof(digest));
            polarys__v1__copy_file__init(&files[i]);
            files[i].path = Binary(part.path);
            files[i].size = part.bytes.size();
            files[i].sha256 = Binary(digests[i]);
            pointers.push_back(&files[i]);
        }
        message.copy_id = Binary(primary.copy_id);
        message.files = pointers.data();
        message.n_files = pointers.size();
        message.version = 1;
    }
};

polarys_code CopyReceive(FakeStream *stream, proto_arena *arena, peer_received *received,
                         polarys_error *err)
{
    Primary *primary = stream->from->primary;
    polarys_code code = Gone(stream->from, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (primary->copy_break_after > 0 && stream->message_count == primary->copy_break_after) {
        primary->copy_break_after = 0;
        return polarys_fail(err, POLARYS_NO_PRIMARY, "the connection broke");
    }
    stream->message_count++;
    Polarys__V1__BootstrapResponse answer = POLARYS__V1__BOOTSTRAP_RESPONSE__INIT;
    Polarys__V1__LogPosition end = POLARYS__V1__LOG_POSITION__INIT;
    Polarys__V1__FilePiece piece = POLARYS__V1__FILE_PIECE__INIT;
    Polarys__V1__FilePiece *pieces[] = {&piece};
    Manifest manifest(*primary);
    received->event = PEER_MESSAGE;
    if (!stream->has_manifest) {
        stream->has_manifest = true;
        answer.manifest = &manifest.message;
        return Deliver(&answer.base, arena, &received->message, err);
    }
    while (stream->file < primary->copy.size() &&
           stream->offset >= std::min(primary->copy[stream->file].sent_size,
                                      primary->copy[stream->file].bytes.size())) {
        stream->file++;
        stream->offset = 0;
    }
    if (stream->file < primary->copy.size()) {
        const CopyPart &part = primary->copy[stream->file];
        size_t size = std::min(part.sent_size, part.bytes.size()) - stream->offset;
        std::string bytes = part.bytes.substr(stream->offset, std::min<size_t>(size, 5000));
        piece.path = Binary(part.path);
        piece.offset = stream->offset;
        piece.data = Binary(bytes);
        answer.pieces = pieces;
        answer.n_pieces = 1;
        stream->offset += bytes.size();
        return Deliver(&answer.base, arena, &received->message, err);
    }
    if (stream->is_over || primary->copy_without_end) {
        received->event = PEER_ENDED;
        return POLARYS_OK;
    }
    stream->is_over = true;
    answer.end = &end;
    return Deliver(&answer.base, arena, &received->message, err);
}

polarys_code StreamReceive(peer_stream *base, uint32_t timeout_ms, proto_arena *arena,
                           peer_received *received, polarys_error *err)
{
    auto *stream = reinterpret_cast<FakeStream *>(base);
    std::unique_lock<std::mutex> lock(stream->from->primary->mutex);
    *received = {};
    received->event = PEER_IDLE;
    return stream->is_tail ? TailReceive(stream, &lock, timeout_ms, arena, received, err)
                           : CopyReceive(stream, arena, received, err);
}

void StreamClose(peer_stream *base)
{
    delete reinterpret_cast<FakeStream *>(base);
}

void Cancel(peer *base)
{
    auto *from = reinterpret_cast<FakePeer *>(base);
    std::lock_guard<std::mutex> lock(from->primary->mutex);
    from->is_cancelled = true;
    from->primary->changed.notify_all();
}

void PeerClose(peer *base)
{
    delete reinterpret_cast<FakePeer *>(base);
}

const peer_ops kOps = {Unary,       StreamOpen, StreamSend, StreamReceive,
                       StreamClose, Cancel,     PeerClose};

} // namespace

polarys_code FakeOpen(const char *address, peer **out, polarys_error *err)
{
    *out = nullptr;
    if (reachable == nullptr) {
        return polarys_fail(err, POLARYS_NO_PRIMARY, "nobody answers at %s", address);
    }
    Primary *primary = reachable;
    std::lock_guard<std::mutex> lock(primary->mutex);
    *out = &(new FakePeer{{&kOps}, primary, primary->breaks})->base;
    return POLARYS_OK;
}

} // namespace replica_test
