package org.megabyte4j.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConfigJsonTest {
    private static final String GOOD = """
            {"variant": "megabyte_in_action", "V": 512, "P": 8, "D_G": 24, "D_L": 96, "T_MAX": 512, "g_nheads": 6,
             "g_nlayers": 2, "l_nheads": 4, "l_nlayers": 2, "initializer_range": 0.02, "pad_id": 257, "eos_id": 258}
            """;

    @Test
    void everyPresetSurvivesTheTripThroughJson() {
        Presets.all().forEach((name, config) ->
                assertThat(ConfigJson.read(ConfigJson.write(config), name)).isEqualTo(config));
    }

    @Test
    void presetsHaveTheSizesOfTheirSource() {
        assertThat(ModelLayout.of(Presets.named("benchmark")).parameterCount()).isBetween(131_000_000L, 133_000_000L);
        assertThat(Presets.named("paper").globalSize()).isEqualTo(2048);
        assertThat(Presets.named("paper-large").globalSize()).isEqualTo(2048);
    }

    @Test
    void theFieldNamesAreTheReferences() {
        assertThat(ConfigJson.read(GOOD, "test")).isEqualTo(
                new MegabyteConfig(Variant.IN_ACTION, 512, 8, 24, 96, 512, 2, 6, 2, 4, 0.02, 257, 258));
    }

    @Test
    void maximalLengthMayBeNullWithoutLearnedPositions() {
        assertThat(ConfigJson.read(GOOD.replace("\"T_MAX\": 512", "\"T_MAX\": null"), "test").maxLength()).isNull();
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "\"V\": 512 | \"V\": 512, \"vocab\": 3 | c.json has the unknown field \"vocab\"; the fields are variant, V, P,"
                + " D_G, D_L, T_MAX, g_nlayers, g_nheads, l_nlayers, l_nheads, initializer_range, pad_id, eos_id",
        "\"g_nheads\": 6 | \"g_nheads\": 7 | c.json: g_nheads 7 does not divide the global width P * D_G = 192; use 6",
        "\"l_nheads\": 4 | \"l_nheads\": 5 | c.json: l_nheads 5 does not divide the local width D_L = 96; use 4",
        "\"l_nheads\": 4 | \"l_nheads\": 2000000000 | c.json: l_nheads 2000000000 does not divide the local width"
                + " D_L = 96; use 96",
        "\"l_nheads\": 4 | \"l_nheads\": 5, \"l_dim_head\": 20 | c.json: l_nheads 5 heads of l_dim_head 20 are wider"
                + " than the local width D_L = 96; use at most 19",
        "\"P\": 8 | \"P\": 0 | c.json: P is 0, but must be at least 1",
        "\"pad_id\": 257 | \"pad_id\": 512 | c.json: pad_id 512 is outside the vocabulary of V = 512 ids; use 0 to 511",
        "\"T_MAX\": 512 | \"T_MAX\": 510 | c.json: T_MAX 510 is not a positive multiple of the patch size 8; use 512",
        "megabyte_in_action | megabyte | -",
        "\"megabyte_in_action\" | \"gpt2\" | c.json has \"gpt2\" in the field \"variant\"; use \"megabyte\" or"
                + " \"megabyte_in_action\"",
        "\"D_L\": 96, | | c.json lacks the field \"D_L\"",
        "\"D_L\": 96 | \"D_L\": null | c.json has null in the field \"D_L\"; use a whole number",
        "\"D_L\": 96 | \"D_L\": 96.5 | c.json has 96.5 in the field \"D_L\"; use a whole number",
        "\"D_L\": 96 | \"D_L\": 99999999999 | c.json has 99999999999 in the field \"D_L\"; use a whole number",
        "} | | c.json is not valid JSON",
    })
    void aConfigurationThatDescribesNoModelIsRefusedWithASentence(String part, String replacement, String sentence) {
        String json = GOOD.replace(part, replacement == null ? "" : replacement);
        if ("-".equals(sentence)) {
            assertThat(ConfigJson.read(json, "c.json").variant()).isEqualTo(Variant.MEGABYTE);
        } else {
            assertThatThrownBy(() -> ConfigJson.read(json, "c.json")).isInstanceOf(ConfigException.class)
                    .hasMessageContaining(sentence);
        }
    }

    @Test
    void localHeadsMayBeNarrowerIfTheFileSaysSo() {
        MegabyteConfig config = ConfigJson.read(
                GOOD.replace("\"l_nheads\": 4", "\"l_nheads\": 5, \"l_dim_head\": 19"), "test");
        assertThat(config.localHeadSize()).isEqualTo(19);
        assertThat(ConfigJson.read(ConfigJson.write(config), "test")).isEqualTo(config);
        MegabyteConfig usual = ConfigJson.read(
                GOOD.replace("\"l_nheads\": 4", "\"l_nheads\": 4, \"l_dim_head\": 24"), "test");
        assertThat(usual).as("a head size that goes without saying").isEqualTo(ConfigJson.read(GOOD, "test"));
        assertThat(ConfigJson.write(usual)).doesNotContain("l_dim_head");
    }

    @Test
    void learnedPositionsNeedAMaximalLength() {
        String json = GOOD.replace("megabyte_in_action", "megabyte").replace("\"T_MAX\": 512", "\"T_MAX\": null");
        assertThatThrownBy(() -> ConfigJson.read(json, "c.json")).hasMessage("c.json: T_MAX is null, but the variant"
                + " megabyte learns a position for each byte and needs it; give T_MAX, or use the variant"
                + " megabyte_in_action");
    }
}
