/* version.h - the version that --version, reports and the handshake show. */
#pragma once

#define WEFT_VERSION "0.1.0"
