/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generated messages to and from strings.
 */
#ifndef TESTS_UNIT_CLIENT_MESSAGES_H
#define TESTS_UNIT_CLIENT_MESSAGES_H

#include <protobuf-c/protobuf-c.h>

#include <memory>
#include <string>

/* Two of the generated names are words of C++. */
#define delete delete_call
#define export export_call
#include "polarys/v1/admin.pb-c.h"
#include "polarys/v1/bulk.pb-c.h"
#include "polarys/v1/kv.pb-c.h"
#include "polarys/v1/query.pb-c.h"
#include "polarys/v1/table.pb-c.h"
#include "polarys/v1/transaction.pb-c.h"
#undef delete
#undef export

inline ProtobufCBinaryData Bytes(const std::string &text)
{
    return ProtobufCBinaryData{text.size(), (uint8_t *)text.data()};
}

inline std::string Text(const ProtobufCBinaryData &bytes)
{
    return std::string((const char *)bytes.data, bytes.len);
}

inline std::string Pack(const ProtobufCMessage *message)
{
    std::string bytes(protobuf_c_message_get_packed_size(message), '\0');
    protobuf_c_message_pack(message, (uint8_t *)bytes.data());
    return bytes;
}

struct MessageFree {
    void operator()(void *message) const
    {
        protobuf_c_message_free_unpacked((ProtobufCMessage *)message, nullptr);
    }
};

template <typename Message>
std::unique_ptr<Message, MessageFree> Unpack(const ProtobufCMessageDescriptor *type,
                                             const std::string &bytes)
{
    return std::unique_ptr<Message, MessageFree>((Message *)protobuf_c_message_unpack(
        type, nullptr, bytes.size(), (const uint8_t *)bytes.data()));
}

#endif
