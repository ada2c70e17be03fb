"""What a normalised text does: asks, tells to do something, calls an answer right or wrong."""

from __future__ import annotations

import re

_INTERROGATIVE = re.compile(
    r"\b(?:what|which|who|whose|whom|where|when|why|how)\b|谁|哪|什么|啥|几|多少|怎|为何|如何|吗|呢|么\s*$|是不是|是否|有没有|何|多[大长高远久]|还是|(.)不\1|(.)没\2|对不对|行不行"
    r"|(?:^|[.!;:,–-] ?|\b(?:and|so|then|but|or) )(?:is|are|was|were|am|do|does|did|can|could|will|would|should|shall|has|have|had|may|might|isn't|aren't|doesn't|don't|didn't|won't|can't)\b"
    r"|\b(?:right|okay|ok|agree|see|ready|sure|it|this|that|yes|no)\s*$"
)


def questions(text: str) -> list[str]:
    """The questions of a normalised text: what ends in a question mark and asks something. "第 3 时?" asks nothing."""
    found = [match.group(1) for match in re.finditer(r"([^?。!.;]*(?:\.(?=\d)[^?。!.;]*)*)\?+", text)]
    return [one for one in found if _INTERROGATIVE.search(one.strip())]


_YES_NO = re.compile(
    r"(?:^|[.!?;:,] ?)(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have) [^?.!]*\?|[^?。!;]*(?:吗|么|是不是[^?]*|对不对)\s*\?"
)


def open_questions(text: str) -> int:
    """Questions that cannot be answered by yes or no."""
    return max(0, len(questions(text)) - len(_YES_NO.findall(text)))


_ACTION = re.compile(
    r"(?:重新|再|试着|试试|动手|请|先|不妨|可以)[^。!?]{0,14}(?:做|画|写|算|推|走|列|数|比|查|看|标|排|执行|模拟|想|检查|对照|说)"
    r"|(?:画|写|列|标|算|数|比较|检查|模拟|重做|推演|对照)(?:一|出|下|清|看|着)"
    r"|\b(?:draw|sketch|redo|re-?run|trace|re-?trace|write|list|work (?:through|out)|check|compare|try|look|go (?:back|over|through)|walk through|recount|count|mark|replay|simulate|think|turn|revisit|recheck|tell me|show me|explain|imagine|start)\b"
    r"|(?:^|[.!?:;,–] ?|\b(?:and|then|so|now|just|please|first|to) )(?:put|find|see|follow|take|pick|ask|reread|recall|remember|read|use|apply|place|repeat|say|name|give|point|scan|consider|suppose|picture|insert|push|pop|settle|keep|leave|do|continue|carry on|finish|watch|note|notice|state|decide|compute|add|move|swap|merge|sift|hash|number|recompute|rebuild|fix|test|search) (?:the|your|that|this|it|its|at|how|what|which|who|whose|where|out|through|for|each|every|every|all|both|one|them|these|those|on|from|again|yourself|step|operation|pass|in|up|down|as|whether|\d)"
    r"|(?:把|将|从|按|照|用|回到|接着|顺着)[^。!?]{1,24}(?:走|推|做|排|写|数|算|核对|过|比|列|画|标|试|查|改|填|放)(?:一遍|一下|一次|下去|完|出来|看|好|上)"
)


def asks_for_action(text: str) -> bool:
    """Whether a normalised text tells the student to do something."""
    return bool(_ACTION.search(text))


_RIGHT = re.compile(
    r"(?:就|这|都)是(?:正确|对)的|正是(?:这样|如此|这个|它)|就是这样|^是(?:呀|啊|的呀|哦|,)|一点(?:也|都|儿也)?没乱|推得很好|(?:次序|顺序|序列|结果|划分|数组|位置|答案|遍历|过程)(?:也|都|全|完全)*(?:正确|对)|正确(?=[。,!])|(?:都|全|全部|完全)对(?!照|比|于|着|应|齐|称|调)|有底了|就是这(?:个|一)?(?:结果|样子|答案|次序|顺序|串|列)|推得很准|(?<!不)(?<!否)(?<!没)正确(?!答案|结果|做法|的(?:顺序|次序|答案|做法|结果|位置))|一(?:步|个|项)(?:也|都)?不差|(?:不用|别)(?:再)?(?:急着)?怀疑|(?:答案|结果|做得|做|完全|全|回答|推|算|写|填|排|走|你)(?:得|的)?(?:是|也|都)?(?:完全|全)?(?:正确|对)(?!吗|不|称|比|于|应|照|准|齐|着|待|方|象|面|手|话|换|调|了一半)|^(?:对(?!照|比|于|着|应|齐|称|调)|没错|正确|是的|嗯|可以放心|放心)|没错|没有?(?:任何)?(?:问题|错误|毛病)|站得住脚|无误|准确|是对的|完全一致|(?:可以|尽管|请|你)放心|放心吧|不用(?:怀疑|担心|改)|(?:一个|一位)(?:都|也)不(?:差|错)|分毫不差|漂亮"
    r"|\b(?:is|are|was|looks?|it's|that's|you're|answer's|got (?:it|this|that|everything|them)|have it|came out|exactly|entirely|completely|absolutely|quite|yes,?|all|list is|result is) (?:all |entirely |completely |exactly |absolutely |quite |perfectly |indeed |spot |just |both )*(?:right|correct|accurate|good to go)\b"
    r"|\byou(?:'re| are) right\b|\b(?:this|that) (?:is|really is) (?:indeed |exactly |precisely )?the (?:\w+[- ]?){1,4}(?:sequence|order|array|list|answer|result)\b|\b(?:key for key|digit for digit|number for number)\b|\bpaid off\b|\bdrop the (?:bad feeling|doubts?|worry)|^(?:yes|yep|yup|correct|right|exactly|indeed|perfect|spot on|nailed it|well done|it is|it does)\b|\bspot[- ]on\b|\bholds? up\b|\bnailed\b|\bwell done\b|\bno (?:mistakes?|errors?|problems?|need to worry|need to doubt)\b|\bnothing (?:is |to |at all )?(?:wrong|fix|correct)\b|\bcorrectly\b|\bcheck(?:s|ed) out\b|\bright answer\b|\bin the right (?:place|order|spot)|\bwhere it belongs|^that's it\b|^it is indeed\b|\bi'd back you\b|\bexactly the\b|\bwell traced\b|\blooks (?:right|good|perfect|fine)\b|^nice(?:ly)? (?:work|done|traced)|\bflawless|\bperfect(?:ly)?\b|\bi (?:agree|get the same|have the same)|\btrust (?:your|it|that|this)|\bstand by (?:it|that|your)|\bevery(?:thing| \w+) (?:is (?:right|correct|fine|in place|where)|checks|matches|fits|lines)\b"
)
_NOT_RIGHT = re.compile(
    r"不(?:是|太|完全|够)?(?:正确|对|准确)|没(?:有)?做对|并不|\b(?:not|n't|isn't|aren't|never|almost|nearly|quite|mostly|partly)\b[^.!?]{0,12}\b(?:right|correct)\b|\b(?:feeling|suspicion|doubts?|hunch|instinct)s? (?:is|was|are|were) (?:\w+ )?right\b|前[^。!?]{0,10}(?:对|正确|没错|没问题|没有问题)"
)
_WRONG = re.compile(
    r"(?<!没)(?<!没有)(?:错|有误|出了?(?:问题|岔|偏差|差错)|问题(?:出|就|在)|不对|不正确|偏差|不太对|走偏|弄混|混淆|漏(?:了|掉)|有出入|对不上|跑偏)"
    r"|\b(?:mistakes?|errors?|wrong|incorrect|goes astray|went astray|not right|isn't right|slip(?:s|ped)?|mix(?:ed|ing)? up|off the rails|drift|trouble|not quite)\b"
)
_NOT_WRONG = re.compile(
    r"没(?:有)?(?:任何)?(?:错|出错|问题|什么错)|不(?:会|容易)?出?错|错(?:在哪|不了)|\b(?:no|nothing|without|not a|any|isn't) (?:\w+ )?(?:mistakes?|errors?|wrong|trouble|incorrect)\b"
)


_BUT = re.compile(r"但|可(?!以|能)|不过|却|然而|只是|\b(?:but|however|though|yet|except|until|only)\b")


def says_right(text: str) -> bool:
    """Whether a normalised text tells the student that the answer is right."""
    return bool(_RIGHT.search(_NOT_RIGHT.sub(" ", text)))


_OPENS_RIGHT = re.compile(r"^(?:yes\b|yep\b|correct\b|that's (?:right|correct)|对[,。!]|没错|正确|是的)")


def opens_right(text: str) -> bool:
    """Whether a normalised text begins by calling the answer right."""
    return bool(_OPENS_RIGHT.search(text))


def qualified(text: str) -> bool:
    """Whether a normalised text takes something back ("but", 但)."""
    return bool(_BUT.search(text))


def says_wrong(text: str) -> bool:
    """Whether a normalised text tells the student that something is wrong."""
    return bool(_WRONG.search(_NOT_WRONG.sub(" ", text)))


def han_share(text: str) -> float:
    """Share of Chinese characters among the letters of a text; 0 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    return sum("一" <= char <= "鿿" for char in letters) / len(letters) if letters else 0.0
