package org.megabyte4j.generate;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Stream;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.model.Ids;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Variant;

/**
 * What to generate.
 *
 * @param prompts   ids to continue, one array for each sequence; empty ones start from nothing
 * @param newIds    how many ids each continuation may have, at least 1
 * @param sampling  how they are chosen
 * @param stopAtEos whether eos ends a continuation
 * @param scored    whether each id comes with its {@link Score}
 */
public record GenerationRequest(List<int[]> prompts, int newIds, SamplingOptions sampling, boolean stopAtEos,
        boolean scored) {

    /** @throws GenerationException if there is no prompt or nothing to generate */
    public GenerationRequest {
        prompts = prompts.stream().map(int[]::clone).toList();
        if (prompts.isEmpty()) {
            throw new GenerationException("there is no prompt to continue; give at least one, which may be empty");
        }
        if (newIds < 1) {
            throw new GenerationException(newIds + " new bytes are not possible; use at least 1");
        }
        if (longestPrompt(prompts) + newIds > Integer.MAX_VALUE) {
            throw new GenerationException("a prompt of " + longestPrompt(prompts) + " bytes and " + newIds
                    + " new ones are more than a sequence can have; use at most "
                    + (Integer.MAX_VALUE - longestPrompt(prompts)) + " new bytes");
        }
    }

    /** The UTF-8 bytes of one text, continued by the likeliest ids up to eos. */
    public static GenerationRequest of(String prompt, int newIds) {
        byte[] bytes = prompt.getBytes(StandardCharsets.UTF_8);
        return of(bytes, newIds);
    }

    /** One prompt of bytes, continued by the likeliest ids up to eos. */
    public static GenerationRequest of(byte[] prompt, int newIds) {
        int[] ids = new int[prompt.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = prompt[i] & 0xFF;
        }
        return new GenerationRequest(List.of(ids), newIds, SamplingOptions.greedy(), true, false);
    }

    public GenerationRequest withSampling(SamplingOptions options) {
        return new GenerationRequest(prompts, newIds, options, stopAtEos, scored);
    }

    public GenerationRequest withNewIds(int value) {
        return new GenerationRequest(prompts, value, sampling, stopAtEos, scored);
    }

    public GenerationRequest withStopAtEos(boolean stop) {
        return new GenerationRequest(prompts, newIds, sampling, stop, scored);
    }

    public GenerationRequest withScores(boolean value) {
        return new GenerationRequest(prompts, newIds, sampling, stopAtEos, value);
    }

    /** Each prompt as often as {@code count} says, as sequences of their own. */
    public GenerationRequest repeated(int count) {
        List<int[]> many = prompts.stream().flatMap(p -> Stream.generate(() -> p).limit(count)).toList();
        return new GenerationRequest(many, newIds, sampling, stopAtEos, scored);
    }

    /** Bytes of the longest sequence, prompt and continuation together. */
    public int length() {
        return (int) longestPrompt(prompts) + newIds;
    }

    private static long longestPrompt(List<int[]> prompts) {
        return prompts.stream().mapToInt(p -> p.length).max().orElse(0);
    }

    /**
     * Checks the request against a model, whose weights need not be there yet.
     *
     * @throws MegabyteException if a prompt holds an id outside the vocabulary, or the sequences would be longer than
     *                           the positions that the model learned
     */
    public void checkAgainst(MegabyteConfig config) {
        for (int[] prompt : prompts) {
            Ids.check(prompt, config.vocabularySize());
        }
        if (config.variant() != Variant.MEGABYTE) {
            return;
        }
        long prompt = longestPrompt(prompts);
        int positions = config.maxLength();
        if (prompt >= positions) {
            throw new GenerationException("a prompt of " + prompt + " bytes leaves no room for new ones in the "
                    + positions + " positions (T_MAX) that this model learned; shorten it to at most " + (positions - 1)
                    + " bytes, or use a model of the variant megabyte_in_action");
        }
        if (length() > positions) {
            throw new GenerationException("a prompt of " + prompt + " bytes and " + newIds + " new ones need "
                    + length() + " positions, more than the " + positions + " (T_MAX) that this model learned;"
                    + " use at most " + (positions - prompt) + " new bytes, or a model of the variant"
                    + " megabyte_in_action");
        }
    }
}
