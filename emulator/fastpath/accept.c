/* SPDX-License-Identifier: BSD-3-Clause */
#include "accept.h"

#include <string.h>

#include "parse.h"

#define OPCODE_PAUSE 1

uint32_t
fp_multicast_hash(const uint8_t *destination, unsigned mo)
{
    static const unsigned shifts[] = { 4, 3, 2, 0 };

    return ((uint32_t)destination[5] << 8 | destination[4]) >> shifts[mo & 3] & 0xFFF;
}

bool
fp_is_pause(const uint8_t *frame, size_t size, const uint8_t station[6], const uint8_t destination[6], uint16_t ethertype)
{
    return size >= 18 && fp_word(frame + 12) == ethertype && fp_word(frame + 14) == OPCODE_PAUSE &&
           (memcmp(frame, destination, 6) == 0 || memcmp(frame, station, 6) == 0);
}
