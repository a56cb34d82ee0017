package org.megabyte4j.generate;

/**
 * The next id of one sequence of a {@link Generation}.
 *
 * @param sequence number of the prompt in its request, from 0
 * @param id       the chosen id: 0 to 255 are bytes
 * @param score    what the model said about it, or null if the request did not ask for scores
 */
public record GeneratedId(int sequence, int id, Score score) {
}
