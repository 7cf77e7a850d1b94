# SPDX-License-Identifier: BSD-3-Clause
"""What Python sees of the pure packet functions, in cffi's dialect of C."""

from __future__ import annotations

PACKET_DECLARATIONS = """
struct fp_parsed {
    int32_t vlan_tci;
    uint16_t ethertype;
    uint32_t l3_offset, l4_offset, l4_end, payload_offset;
    bool is_ipv4, is_ipv6, ipv4_options, ipv6_extensions, is_fragment, ip_header_ok;
    uint8_t l4_protocol, address_length;
    uint16_t source_port, destination_port, ipv4_id;
    const uint8_t *source, *destination;
    const uint8_t *ex_source, *ex_destination;
    ...;
};
void fp_parse(const uint8_t *frame, size_t size, uint16_t vlan_ethertype, struct fp_parsed *out);

uint16_t fp_sum(const uint8_t *data, size_t size, uint64_t initial);
uint32_t fp_crc32c(const uint8_t *data, size_t size);
int fp_l4_checksum_ok(const uint8_t *frame, const struct fp_parsed *parsed);
bool fp_insert_l4_checksum(uint8_t *frame, size_t size, size_t l4_offset, uint8_t protocol, uint32_t initial);
bool fp_insert_ipv4_checksum(uint8_t *frame, size_t size, size_t l3_offset, size_t header_len);

struct fp_toeplitz { ...; };
void fp_toeplitz_key(struct fp_toeplitz *t, const uint8_t key[40]);
uint32_t fp_toeplitz_hash(const struct fp_toeplitz *t, const uint8_t *data, size_t size);
uint8_t fp_rss_type(const struct fp_parsed *parsed, uint32_t mrqc, bool ipv6_ex_disabled);
size_t fp_rss_input(const struct fp_parsed *parsed, uint8_t type, uint8_t out[36]);

uint32_t fp_packet_type(const struct fp_parsed *parsed);
uint64_t fp_rx_status(const uint8_t *frame, const struct fp_parsed *parsed, uint32_t rxcsum, bool stamped);
uint64_t fp_legacy_word(uint64_t advanced, uint32_t length);

uint32_t fp_multicast_hash(const uint8_t *destination, unsigned mo);
bool fp_is_pause(const uint8_t *frame, size_t size, const uint8_t station[6], const uint8_t destination[6],
                 uint16_t ethertype);

struct fp_offload { uint16_t vlan_ethertype, outer_ethertype; bool vlan_insertion, pad_short, double_vlan; ...; };
struct fp_departure { ...; };
size_t fp_departure_begin(struct fp_departure *d, uint8_t *data, size_t size, uint64_t first_word1, uint64_t context0,
                          uint64_t context1, const struct fp_offload *offload);
size_t fp_departure_peek(const struct fp_departure *d);
size_t fp_departure_next(struct fp_departure *d, uint8_t *out);
"""
