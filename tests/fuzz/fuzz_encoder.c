/* Fuzzes the files of a text encoder: vocab.json with a text to cut into its pieces, or model.json
 * with one shard of weights (the first byte chooses; a byte 1 ends the JSON). */
#include "common/log.h"
#include "common/panic.h"
#include "sampler/piece_tokenizer.h"
#include "sampler/text_norm.h"
#include "sampler/use_lite_weights.h"
#include "testing_fuzz.h"

#include <stdlib.h>
#include <string.h>

static void read_vocabulary(const char *json, const char *text)
{
    piece_tokenizer *t;
    uint32_t *ids;
    size_t n;
    json_t *root = json_loads(json, 0, NULL);
    if (!root) return;
    if (piece_tokenizer_new(root, "vocab.json", &t) == ERR_OK) {
        char *normalised = text_norm_nfkc(text);
        piece_tokenizer_encode(t, normalised, &ids, &n);
        for (size_t i = 0; i < n; i++) ASSERT(ids[i] < json_array_size(root));
        free(ids);
        free(normalised);
        piece_tokenizer_free(t);
    }
    json_decref(root);
}

static void read_weights(const char *json, const char *shard)
{
    use_lite_weights w;
    testing_fuzz_file("shard", (const uint8_t *)shard, strlen(shard));
    testing_fuzz_file("model.json", (const uint8_t *)json, strlen(json));
    /* The tensors of the model are larger than any input: it must be refused. */
    ASSERT(use_lite_weights_load(testing_fuzz_folder(), &w) != ERR_OK);
    use_lite_weights_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char nothing[] = "";
    testing_fuzz_input in = {data, size};
    uint64_t choice = testing_fuzz_number(&in, 1);
    char *text = testing_fuzz_text(&in), *cut = strchr(text, 1), *rest = cut ? cut + 1 : nothing;
    if (cut) *cut = 0;
    if (choice % 2) {
        read_weights(text, rest);
    } else {
        read_vocabulary(text, rest);
    }
    free(text);
    return 0;
}
