package org.megabyte4j.generate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/** A prompt that grows. */
final class Sequence {
    private final int number;
    private final int promptLength;
    private final int[] ids;
    private final BitSet seen = new BitSet();
    private final List<Score> scores = new ArrayList<>();
    private int length;
    private Generated.End end;

    /** @param number in its request, from 0 */
    Sequence(int number, int[] prompt, int newIds) {
        this.number = number;
        ids = Arrays.copyOf(prompt, prompt.length + newIds);
        promptLength = prompt.length;
        length = prompt.length;
        Arrays.stream(prompt).forEach(seen::set);
    }

    /** One that has grown already, to no more than {@code newIds}; it ends as {@code soFar} says, if it does. */
    Sequence(int number, int[] prompt, int newIds, Generated soFar) {
        this(number, prompt, newIds);
        for (int i = 0; i < soFar.ids().length; i++) {
            append(soFar.ids()[i], soFar.scores().isEmpty() ? null : soFar.scores().get(i));
        }
        end = soFar.end() == null ? end : soFar.end();
    }

    int number() {
        return number;
    }

    /** Ids so far. */
    int length() {
        return length;
    }

    /** Ids at the end, unless it ends early. */
    int longest() {
        return ids.length;
    }

    int id(int index) {
        return ids[index];
    }

    BitSet seen() {
        return seen;
    }

    boolean isFinished() {
        return end != null;
    }

    /** @param score or null */
    void append(int id, Score score) {
        ids[length++] = id;
        seen.set(id);
        if (score != null) {
            scores.add(score);
        }
        if (length == ids.length) {
            end = Generated.End.LENGTH;
        }
    }

    void finish(Generated.End reason) {
        end = reason;
    }

    /** @param open the end of a sequence that has not ended */
    Generated generated(Generated.End open) {
        return new Generated(Arrays.copyOfRange(ids, promptLength, length), List.copyOf(scores),
                end == null ? open : end);
    }
}
