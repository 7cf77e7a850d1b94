/* SPDX-License-Identifier: BSD-3-Clause */
#include "checksum.h"

#include <string.h>

#include "parse.h"

/* Sums native words; as the ones' complement sum does not depend on byte order, only the result is swapped. */
uint16_t
fp_sum(const uint8_t *data, size_t size, uint64_t initial)
{
    uint64_t even = 0, odd = 0, word;
    uint32_t sum;

    while (size >= 8) {
        memcpy(&word, data, 8);
        even += word & 0xFFFFFFFF;
        odd += word >> 32;
        data += 8;
        size -= 8;
    }
    if (size > 0) {
        word = 0;
        memcpy(&word, data, size);
        even += word & 0xFFFFFFFF;
        odd += word >> 32;
    }
    even = (even >> 32) + (even & 0xFFFFFFFF);
    odd = (odd >> 32) + (odd & 0xFFFFFFFF);
    even += odd;
    even = (even >> 32) + (even & 0xFFFFFFFF);
    even = (even >> 16) + (even & 0xFFFF);
    even = (even >> 16) + (even & 0xFFFF);
    even = (even >> 16) + (even & 0xFFFF);
    sum = __builtin_bswap16((uint16_t)even);
    while (initial > 0xFFFF) {
        initial = (initial >> 16) + (initial & 0xFFFF);
    }
    sum += (uint32_t)initial;
    return (uint16_t)((sum >> 16) + (sum & 0xFFFF));
}

static uint32_t crc_table[8][256];

__attribute__((constructor)) static void
make_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;

        for (int bit = 0; bit < 8; bit++) {
            value = (value >> 1) ^ (value & 1 ? 0x82F63B78u : 0);
        }
        crc_table[0][byte] = value;
    }
    for (int k = 1; k < 8; k++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t before = crc_table[k - 1][byte];

            crc_table[k][byte] = (before >> 8) ^ crc_table[0][before & 0xFF];
        }
    }
}

static uint32_t
crc_bytes(uint32_t crc, const uint8_t *data, size_t size)
{
    while (size >= 8) {
        uint32_t low, high;

        memcpy(&low, data, 4);
        memcpy(&high, data + 4, 4);
        low ^= crc;
        crc = crc_table[7][low & 0xFF] ^ crc_table[6][low >> 8 & 0xFF] ^ crc_table[5][low >> 16 & 0xFF] ^
              crc_table[4][low >> 24] ^ crc_table[3][high & 0xFF] ^ crc_table[2][high >> 8 & 0xFF] ^
              crc_table[1][high >> 16 & 0xFF] ^ crc_table[0][high >> 24];
        data += 8;
        size -= 8;
    }
    while (size-- > 0) {
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *data++) & 0xFF];
    }
    return crc;
}

uint32_t
fp_crc32c(const uint8_t *data, size_t size)
{
    return ~crc_bytes(0xFFFFFFFF, data, size);
}

uint32_t
fp_crc32c_without(const uint8_t *data, size_t size, size_t zeroed)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc_bytes(0xFFFFFFFF, data, zeroed);

    crc = crc_bytes(crc, zeros, sizeof(zeros));
    return ~crc_bytes(crc, data + zeroed + 4, size - zeroed - 4);
}

int
fp_l4_checksum_ok(const uint8_t *frame, const struct fp_parsed *p)
{
    const uint8_t *l4 = frame + p->l4_offset;
    size_t size = p->l4_end - p->l4_offset;
    uint64_t pseudo;

    if (p->is_fragment || p->ex_source != NULL) {
        return -1;
    }
    switch (p->l4_protocol) {
    case FP_SCTP: {
        uint32_t said;

        memcpy(&said, l4 + 8, 4);
        return fp_crc32c_without(l4, size, 8) == said;
    }
    case FP_UDP:
        if (l4[6] == 0 && l4[7] == 0) {
            return p->is_ipv4 ? -1 : 0;
        }
        if (fp_word(l4 + 4) < 8 || fp_word(l4 + 4) > size) {
            return 0;
        }
        size = fp_word(l4 + 4);
        break;
    case FP_TCP:
        break;
    default:
        return -1;
    }
    pseudo = (uint64_t)fp_sum(p->source, p->address_length, 0) + fp_sum(p->destination, p->address_length, 0) +
             p->l4_protocol + size;
    return fp_sum(l4, size, pseudo) == 0xFFFF;
}

bool
fp_insert_l4_checksum(uint8_t *frame, size_t size, size_t l4_offset, uint8_t protocol, uint32_t initial)
{
    size_t offset = protocol == FP_TCP ? 16 : protocol == FP_UDP ? 6 : protocol == FP_SCTP ? 8 : 0;
    size_t width = protocol == FP_SCTP ? 4 : 2, field = l4_offset + offset;
    uint16_t value;

    if (offset == 0 || field + width > size) {
        return false;
    }
    if (protocol == FP_SCTP) {
        uint32_t crc = fp_crc32c_without(frame + l4_offset, size - l4_offset, offset);

        memcpy(frame + field, &crc, 4);
        return true;
    }
    value = (uint16_t)~fp_sum(frame + l4_offset, size - l4_offset, initial);
    if (protocol == FP_UDP && value == 0) {
        value = 0xFFFF; /* RFC 768: zero on the wire means "no checksum" */
    }
    frame[field] = (uint8_t)(value >> 8);
    frame[field + 1] = (uint8_t)value;
    return true;
}

bool
fp_insert_ipv4_checksum(uint8_t *frame, size_t size, size_t l3_offset, size_t header_len)
{
    uint16_t value;

    if (header_len < 20 || l3_offset + header_len > size) {
        return false;
    }
    value = (uint16_t)~fp_sum(frame + l3_offset, header_len, 0);
    frame[l3_offset + 10] = (uint8_t)(value >> 8);
    frame[l3_offset + 11] = (uint8_t)value;
    return true;
}
