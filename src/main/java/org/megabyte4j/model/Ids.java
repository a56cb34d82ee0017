package org.megabyte4j.model;

/** Ids on their way to a device, where nothing checks them any more. */
public final class Ids {
    private Ids() {
    }

    /**
     * @throws ConfigException if an id lies outside the vocabulary; the message names it and its place
     */
    public static void check(int[] ids, int vocabularySize) {
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabularySize) {
                throw new ConfigException("id " + ids[i] + " at index " + i + " is outside the vocabulary of "
                        + vocabularySize + " ids; use 0 to " + (vocabularySize - 1));
            }
        }
    }
}
