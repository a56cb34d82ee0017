package org.megabyte4j.model;

import org.megabyte4j.tensor.ParameterLayout;

/**
 * The parameters of a model: the reference's names and shapes, in the order in which they lie in the arena. Query and
 * key/value weights follow each other without a gap, so that one product serves both.
 */
public final class ModelLayout {
    private ModelLayout() {
    }

    public static ParameterLayout of(MegabyteConfig config) {
        ParameterLayout.Builder layout = ParameterLayout.builder();
        int vocabulary = config.vocabularySize();
        int embedding = config.globalEmbeddingSize();
        int local = config.localSize();
        if (config.variant() == Variant.MEGABYTE) {
            layout.add("g_embedder.weight", false, vocabulary, embedding);
            layout.add("g_pos_embedder.weight", false, config.maxLength(), embedding);
        } else {
            layout.add("to_embed.weight", false, vocabulary, embedding);
        }
        stack(layout, "g_transformer", config.globalLayers(), config.globalSize(), config.globalHeads(),
                config.globalHeadSize());
        layout.add("gl_linear.1.weight", true, local, embedding).add("gl_linear.1.bias", false, local);
        if (config.variant() == Variant.MEGABYTE) {
            layout.add("l_embedder.weight", false, vocabulary, local);
        } else {
            layout.add("to_l_embed.weight", true, local, embedding).add("to_l_embed.bias", false, local);
        }
        stack(layout, "l_transformer", config.localLayers(), local, config.localHeads(), config.localHeadSize());
        layout.add("to_logits.weight", true, vocabulary, local).add("to_logits.bias", false, vocabulary);
        return layout.build();
    }

    private static void stack(ParameterLayout.Builder layout, String stack, int layers, int width, int heads,
            int head) {
        long inner = (long) heads * head;
        for (int i = 0; i < layers; i++) {
            String attention = attention(stack, i);
            layout.add(attention + "norm.weight", false, width).add(attention + "norm.bias", false, width);
            layout.add(attention + "to_q.weight", true, inner, width);
            layout.append(attention + "to_kv.weight", true, 2L * head, width);
            layout.add(attention + "to_out.weight", true, width, inner);
            String feedForward = feedForward(stack, i);
            layout.add(feedForward + "0.weight", false, width).add(feedForward + "0.bias", false, width);
            layout.add(feedForward + "1.weight", true, 4L * width, width).add(feedForward + "1.bias", false, 4L * width);
            layout.add(feedForward + "4.weight", true, width, 4L * width).add(feedForward + "4.bias", false, width);
        }
    }

    static String attention(String stack, int layer) {
        return stack + ".layers." + layer + ".0.";
    }

    static String feedForward(String stack, int layer) {
        return stack + ".layers." + layer + ".1.";
    }
}
