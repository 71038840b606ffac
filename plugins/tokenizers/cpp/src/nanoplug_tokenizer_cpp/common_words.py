"""Words of the spacing rules: a piece that is one of them stands alone and is no ending of the piece before it."""

# ruff: noqa: SIM905 (a list of words is read and changed more easily as text)

from __future__ import annotations

TWO_LETTER_WORDS = frozenset(
    """ad ah am an as at ax be by do dx dy ed eq fd fn fp ge go gt he hi hz id if in io ip is it kb le lo lt mb me ms my
    ne no ns nx ny of oh ok on op or os ox pi px py rc re rx so sp sq ss to tx ty ui up us ux vs vx vy we xs""".split()
)

COMMON_WORDS = frozenset(
    """abort about above abs accept access acos act action active actor actual adapt add added adder adding addr
    address adjust admin adopt after again age agent agree ahead air alarm alert alias align alive all alloc allow
    almost alone along alpha alpine also alter always amount and angle animal answer any apart api apple apply arc area
    arg args argc argv arm army array arrow art ascii aside ask asset assign async atom atomic attach attr audio author
    auto avail avg avoid await awake aware away axis back bad badge ball band bank bar base based basic batch baud bayes
    bean bear beat been before begin behind being below bench best beta better beyond bias big bill bin binary bind bird
    bit bits black blank blend blob block blue board body bold bone book bool boost boot border both bottom bound box
    brace branch bread break brief bright bring broken brown brush bucket buf buffer bug build bulk bump bundle burn bus
    bush busy but button buy byte bytes cache call called caller came camera can cancel cap car card care carry case
    cast cat catch cause cell center chain chair change char charge chart cheap check chief child choice chunk circle
    city claim clamp clang clash class clean clear click client clip clock clone close closed cloud code codec codes
    coin cold color column come comma commit common comp config const cookie cool copied copy core corner cosh cost
    could count cover cpu craft crash crc create cross crypt ctx cube cur curl curve custom cut cycle daemon daily dark
    dash data date day days dead deal debug dec decay decide deck decode deep def degree delay delete delta demand demo
    depend depth desc design desk detail detect dev device dial dict did die diff digit dim dir direct dirty disk dist
    div divide dlib doc dog doing domain done door dot double down draft drag draw drive driver drop dry dst due dump
    during dust dword each early earn earth ease east easy echo edge edit effect eight either else empty enable encode
    end engine enough ensure enter entity entry enum env epoch epoll equal err error escape etc eval even event ever
    every exact exam except exec exist exists exit exp expand expect export expr extend extern extra eye face fact
    factor fail failed fall false family far fast fatal fault fd feed feel fence fetch few fft field fifo file files
    fill filter final find finish fire first fish fit five fix fixed flag flags flat flip float floor flow flush fly
    focus fold folder font foo food foot for force fork form format found four frac frame free fresh from front full
    func fuse future gain game gamma gap gas gate gauge gave gen gene get getter gives glass global goal gold gone good
    got gpu grab grad grade grand grant graph gray great green grid group grow guard guess guest guide had half hall
    halt hand handle happy hard has hash have head header heap heat heavy height help helper here hex hidden hide high
    him hint his hit hold hole home hook hop host hot hour house how html http huge human hybrid icon idea ideal idle
    idx image imp import inch inches include indent index infer info init inline inner input insert inside int intel
    invert ipc iso issue item items iter its jmp job join json jump just keep kept kernel key keys kick kill kind king
    know label lambda land lane large last late later latex latch launch layer layout lazy lead leaf leak learn least
    leave left len length less let letter level lib life lift light like likely limit line linear lines link list
    listen lite little live load loaded loader local locale lock log logger logic long look loop lose loss lost lot low
    lower lua luck mac macro made magic mail main make maker malloc man manage many map mapped margin mark mask mass
    master match math matrix max may mean media medium meet mem member memory menu merge mesh meta method mid middle
    might min mind mine minor minus miss mix mixed mock mod mode model modify module moment month more most mount mouse
    move moved movie msg much mul multi music must mutex mux name named names nan native nbytes near nearly need needed
    nested net never new next nice night nil nine node nodes noise none noop nor norm normal north not note notice now
    null num number numpy obj object octet odd off offset often old once one ones only onto open opened opt option
    orange order orient other our out outer output over own owner pack packet pad page pair panel paper param params
    parent parity park parse parsed parser part parts pass past patch path pause pay peak peer pen per period person
    phase phone photo php pick piece pin ping pipe pitch pixel pixels place plain plan plane play player plot plug plus
    png point pointer points poll pool pop port pos post power prefix prep press price prime print prior priv prob
    probe proc prompt proof proto proxy ptr public pull pulse push put quad query queue quick quiet quit quote race
    radio radius raise ran rand random range rank rate rather ratio raw ray reach read reader ready real really reason
    recent record rect recv red reduce ref reg region reject rel remain remote remove render repeat reply report req
    reset resize rest result resume ret retain retry return reuse rgb rich ride right ring rise risk road robot role
    roll room root rope rotate round route row rows rsa rule rules run rune safe said salt same sample save saved say
    scalar scale scan scene scheme scope score scratch screen script scroll sea search second secret sector see seed
    seek seen select self sell send sense sent seq serial server set sets setter setup seven shadow shape share shared
    shell shift ship shop short should show side sign signal silent simd simple since single sink six size sized sizes
    skip sleep slice slide slot slow small smart snap socket soft solid solve some son song soon sort sound source south
    space span spawn spec speed spin split spot spread sql square src stack stage stamp stand star start state static
    stats status std stdio stdin stdout stderr steal step still stmt stock stop store str strand stream street stride
    string strip strong struct style sub such sum super sure swap sweep switch symbol sync syntax sys system tab table
    tag tags tail take taken talk target task tasks team tell temp tensor term test tests text than that the their them
    then theory there these they thing think third this those thread three throw thus tick time timer times tiny title
    tls tmp today toggle token tokens told too took tool top topic total touch toward trace track trade train trap trash
    tree trend trial trie trim true trust try tune tuple turn twice two type typed types uint undo union unique unit
    units unix unlock until unused update upload upon upper uri url usage use used user users using usual utf util utils
    uuid val valid value values van var vars vec vector verify vert very via video view virtual visit voice void vol
    vote wait walk wall want warm warn was wash watch water wave way weak web week weight well went were west what wheel
    when where which while white who whole why wide width wild will win wind window wire wise wish with within without
    word words work worker works world worse worst would wrap write writer wrong xml xor yaml year yes yet yield yml you
    young your zero zone zoom""".split()
)
