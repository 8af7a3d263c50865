/* status_client.h - see below. */
#pragma once
#include "common/err.h"
MUST_USE err_code status_client_get(const char *url, const char *token, char **text);
