package org.megabyte4j.generate;

/**
 * Hears of each id as soon as the host does: on the CPU when it is chosen, from a device that works on its own patch by
 * patch.
 */
@FunctionalInterface
public interface IdListener {
    /** Does nothing, and never stops. */
    IdListener SILENT = (sequence, id) -> true;

    /**
     * @param sequence number of the prompt in its request, from 0
     * @param id       the chosen id: 0 to 255 are bytes
     * @return whether this sequence goes on
     */
    boolean accept(int sequence, int id);
}
