/* json.h - printing JSON */
#ifndef MXQ_JSON_H
#define MXQ_JSON_H

#include <jansson.h>
#include <stdbool.h>

/* Prints it to standard output. False, with an error printed, when root is NULL or not all of it could be made. */
bool mxq_print_json(const json_t *root);

#endif /* MXQ_JSON_H */
