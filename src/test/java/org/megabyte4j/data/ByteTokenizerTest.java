package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class ByteTokenizerTest {
    private static final ByteTokenizer TOKENIZER = ByteTokenizer.REFERENCE;

    @Test
    void everyByteIsItsOwnId() {
        byte[] all = new byte[256];
        for (int i = 0; i < all.length; i++) {
            all[i] = (byte) i;
        }
        assertThat(TOKENIZER.encode(all)).containsExactly(IntStream.range(0, 256).toArray());
        assertThat(TOKENIZER.bytes(TOKENIZER.encode(all))).isEqualTo(all);
        assertThat(TOKENIZER.encode(new byte[0])).isEmpty();
        assertThat(TOKENIZER.decode()).isEmpty();
    }

    @Test
    void textIsItsUtf8() {
        int[] ids = {0x61, 0xC3, 0xBC, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80};
        assertThat(TOKENIZER.encode("aü€😀")).containsExactly(ids);
        assertThat(TOKENIZER.decode(ids)).isEqualTo("aü€😀");
    }

    /** What a code point that no text can hold becomes is up to Java's own encoder. */
    @Property(tries = 500)
    void decodingUndoesEncoding(@ForAll String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        assertThat(TOKENIZER.decode(TOKENIZER.encode(text))).isEqualTo(new String(utf8, StandardCharsets.UTF_8));
        assertThat(TOKENIZER.bytes(TOKENIZER.encode(text))).isEqualTo(utf8);
    }

    @Property(tries = 1000)
    void bytesThatAreNoUtf8BecomeWhatJavasDecoderMakesOfThem(@ForAll @Size(max = 40) byte[] bytes) {
        assertThat(TOKENIZER.decode(TOKENIZER.encode(bytes))).isEqualTo(new String(bytes, StandardCharsets.UTF_8));
    }

    @Property(tries = 500)
    void specialIdsLeaveNoTraceInText(@ForAll List<@IntRange(max = 511) Integer> ids) {
        int[] all = ids.stream().mapToInt(id -> id).toArray();
        int[] bytes = IntStream.of(all).filter(id -> id < 256).toArray();
        assertThat(TOKENIZER.decode(all)).isEqualTo(TOKENIZER.decode(bytes));
        assertThat(TOKENIZER.bytes(all)).hasSize(bytes.length).isEqualTo(TOKENIZER.bytes(bytes));
    }

    /** Between two special ids the bytes are a text of their own. */
    @Property(tries = 500)
    void specialIdsShowInTheirPlace(@ForAll List<@Size(max = 6) byte[]> texts,
            @ForAll @Size(100) List<@IntRange(min = 256, max = 511) Integer> specials) {
        List<Integer> ids = new ArrayList<>();
        var expected = new StringBuilder();
        for (int i = 0; i < texts.size(); i++) {
            for (byte value : texts.get(i)) {
                ids.add(value & 0xFF);
            }
            expected.append(new String(texts.get(i), StandardCharsets.UTF_8));
            if (i < specials.size()) {
                int special = specials.get(i);
                ids.add(special);
                expected.append(special == 257 ? "<pad>" : special == 258 ? "<eos>" : "<" + special + ">");
            } else {
                break;
            }
        }
        assertThat(TOKENIZER.decodeWithSpecial(ids.stream().mapToInt(id -> id).toArray()))
                .isEqualTo(expected.toString());
    }

    @Test
    void aCharacterThatASpecialIdCutsIsTwoHalves() {
        assertThat(TOKENIZER.decode(0xC3, 258, 0xBC)).isEqualTo("ü");
        assertThat(TOKENIZER.decodeWithSpecial(0xC3, 258, 0xBC)).isEqualTo("\uFFFD<eos>\uFFFD");
        assertThat(TOKENIZER.decodeWithSpecial(257, 300, 0xE2, 0x82)).isEqualTo("<pad><300>\uFFFD");
    }

    @Test
    void specialIdsOutsideTheVocabularyAreRefused() {
        assertThatThrownBy(() -> new ByteTokenizer(258, 257, 258)).isInstanceOf(DataException.class)
                .hasMessage("eos_id 258 is outside the vocabulary of 258 ids; use 0 to 257");
        assertThatThrownBy(() -> new ByteTokenizer(512, -1, 258)).isInstanceOf(DataException.class)
                .hasMessage("pad_id -1 is outside the vocabulary of 512 ids; use 0 to 511");
        assertThatThrownBy(() -> new ByteTokenizer(0, 0, 0)).isInstanceOf(DataException.class);
    }

    @Test
    void idsOutsideTheVocabularyAreRefused() {
        String message = "id 512 is outside the vocabulary of 512 ids; use 0 to 511";
        assertThatThrownBy(() -> TOKENIZER.bytes(65, 512)).isInstanceOf(DataException.class).hasMessage(message);
        assertThatThrownBy(() -> TOKENIZER.decode(512)).isInstanceOf(DataException.class).hasMessage(message);
        assertThatThrownBy(() -> TOKENIZER.decodeWithSpecial(512)).isInstanceOf(DataException.class)
                .hasMessage(message);
        assertThatThrownBy(() -> TOKENIZER.decode(-1)).isInstanceOf(DataException.class)
                .hasMessage("id -1 is outside the vocabulary of 512 ids; use 0 to 511");
    }

    @Test
    void aVocabularyMayLackBytesAsLongAsTheyDoNotCome() {
        var small = new ByteTokenizer(130, 128, 129);
        assertThat(small.encode("plain")).hasSize(5);
        assertThatThrownBy(() -> small.encode("ü")).isInstanceOf(DataException.class)
                .hasMessage("byte 195 is outside the vocabulary of 130 ids; use 0 to 129");
    }
}
